/* SPDX-License-Identifier: MIT */
/* The device that tests/system/device_model.c plays for tests/guests/ioreq.c. */
#ifndef KR_TESTS_DEVICE_MODEL_H
#define KR_TESTS_DEVICE_MODEL_H

#define DM_ID       0x500    /* in: DM_ID_VALUE */
#define DM_LATCH    0x504    /* in, out: 4 bytes, or the lowest one */
#define DM_STREAM   0x508    /* in: 16-bit numbers that count up */
#define DM_SUM      0x50c    /* out: into a checksum, with 0 setting it to 0 alone; in: the checksum */
#define DM_MSI      0x510    /* out: the vector of an MSI to vCPU 0 */
#define DM_HANG     0x511    /* out: nothing after this is answered */
#define DM_INJECT   0x512    /* out: #GP(0x18) into vCPU 0 */
#define DM_LIE      0x513    /* out: answered with a state that is none */
#define DM_WATCH    0x514    /* out: frame whose writes are watched, 0: none; in: how many were seen */
#define DM_DROPPED  0x518    /* in: how often mappings were to be dropped */
#define DM_REQUESTS 0x51c    /* in: how many requests there have been */
#define DM_CPU      0x520    /* in, out: a latch of 4 bytes for each of DM_CPUS vCPUs */
#define DM_CPUS     4
#define DM_VCPUS    0x530    /* in: number of vCPUs */
#define DM_OFF      0x534    /* out: the domain is shut down */
#define DM_LAST     0x53f

#define DM_ID_VALUE  0x4d444b52
#define DM_MEMORY    0xf0000000ull   /* a page of memory */
#define DM_DEVICE    3               /* PCI 0:3.0; its registers read as DM_PCI_MAGIC | register */
#define DM_PCI_MAGIC 0x71727300u
#define DM_VECTOR    0x61

#define DM_STR_(x) #x
#define DM_STR(x)  DM_STR_(x)

#endif
