/* SPDX-License-Identifier: MIT */
/*
 * The CPUID leaves from 0x40000000 up in which a guest finds the hypervisor.
 */

#ifndef __XEN_PUBLIC_ARCH_X86_CPUID_H__
#define __XEN_PUBLIC_ARCH_X86_CPUID_H__

/*
 * 0x40000000, or 0x100 or more above when a guest is offered another hypervisor's leaves first.
 * 0: eax highest leaf, the rest the signature. 1: eax version. 2: eax hypercall pages, ebx the
 * MSR through which they are filled, ecx features. 3: time. 4: HVM features. 5: PV.
 */
#define XEN_CPUID_FIRST_LEAF 0x40000000

#define XEN_CPUID_LEAF(i) (XEN_CPUID_FIRST_LEAF + (i))

/* "XenVMMXenVMM" */
#define XEN_CPUID_SIGNATURE_EBX 0x566e6558
#define XEN_CPUID_SIGNATURE_ECX 0x65584d4d
#define XEN_CPUID_SIGNATURE_EDX 0x4d4d566e

/* Leaf 2, ecx. */
#define _XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD 0
#define XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD  (1u << 0)

/* Leaf 4, eax; ebx is then the vCPU's number and ecx the domain's, if these bits say so. */
#define XEN_HVM_CPUID_APIC_ACCESS_VIRT             (1u << 0)
#define XEN_HVM_CPUID_X2APIC_VIRT                  (1u << 1)
#define XEN_HVM_CPUID_IOMMU_MAPPINGS               (1u << 2)
#define XEN_HVM_CPUID_VCPU_ID_PRESENT              (1u << 3)
#define XEN_HVM_CPUID_DOMID_PRESENT                (1u << 4)
#define XEN_HVM_CPUID_EXT_DEST_ID                  (1u << 5)
#define XEN_HVM_CPUID_UPCALL_VECTOR                (1u << 6)

/* Leaf 5, ebx: bits in a machine address. PV only. */
#define XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK       (0xffu << 0)
#define XEN_CPUID_MAX_NUM_LEAVES                   5

#endif /* __XEN_PUBLIC_ARCH_X86_CPUID_H__ */
