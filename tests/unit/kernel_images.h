/* SPDX-License-Identifier: MIT */
/* Hand-made kernel images for tests: an ELF writer whose every field a test can spoil. */
#ifndef KR_TEST_KERNEL_IMAGES_H
#define KR_TEST_KERNEL_IMAGES_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IMG_SIZE     0x3000
#define IMG_NOTES    0x200
#define IMG_DATA     0x1000
#define IMG_ENTRY    0x100010
#define IMG_SEGMENTS 2

/* A 64-bit image: two segments of 4 KiB (the second with 8 KiB of memory) and Xen's PVH note. */
struct img {
    union {
        uint8_t bytes[IMG_SIZE];
        struct {
            Elf64_Ehdr eh;
            Elf64_Phdr ph[IMG_SEGMENTS + 1];
        };
    };
};

static inline void img_put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

/* A Xen note with a number of len bytes. Returns its size. */
static inline size_t img_note(uint8_t *p, uint32_t type, const void *desc, uint32_t len)
{
    img_put32(p, 4);
    img_put32(p + 4, len);
    img_put32(p + 8, type);
    memcpy(p + 12, "Xen", 4);
    memcpy(p + 16, desc, len);
    return 16 + ((len + 3) & ~3u);
}

static inline void img_make(struct img *m)
{
    uint64_t entry = IMG_ENTRY;
    size_t n;

    memset(m, 0, sizeof(*m));
    memcpy(m->eh.e_ident, ELFMAG, SELFMAG);
    m->eh.e_ident[EI_CLASS] = ELFCLASS64;
    m->eh.e_ident[EI_DATA] = ELFDATA2LSB;
    m->eh.e_type = ET_EXEC;
    m->eh.e_machine = EM_X86_64;
    m->eh.e_phoff = sizeof(Elf64_Ehdr);
    m->eh.e_phentsize = sizeof(Elf64_Phdr);
    m->eh.e_phnum = IMG_SEGMENTS + 1;
    for (int i = 0; i < IMG_SEGMENTS; i++) {
        m->ph[i].p_type = PT_LOAD;
        m->ph[i].p_offset = IMG_DATA * (uint64_t)(i + 1);
        m->ph[i].p_filesz = 0x1000;
        m->ph[i].p_memsz = 0x1000 * (uint64_t)(i + 1);
        m->ph[i].p_paddr = 0x100000 + 0x2000 * (uint64_t)i;
    }
    n = img_note(m->bytes + IMG_NOTES, 18, &entry, 8);
    n += img_note(m->bytes + IMG_NOTES + n, 6, "testos", 7);
    m->ph[IMG_SEGMENTS].p_type = PT_NOTE;
    m->ph[IMG_SEGMENTS].p_offset = IMG_NOTES;
    m->ph[IMG_SEGMENTS].p_filesz = n;
    for (size_t i = IMG_DATA; i < IMG_SIZE; i++) {
        m->bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

/* The same as a 32-bit image. */
static inline void img_make32(struct img *m)
{
    struct img full;
    Elf32_Ehdr eh = { 0 };

    img_make(&full);
    *m = full;
    memset(m->bytes, 0, IMG_NOTES);
    memcpy(eh.e_ident, full.eh.e_ident, EI_NIDENT);
    eh.e_ident[EI_CLASS] = ELFCLASS32;
    eh.e_type = ET_EXEC;
    eh.e_machine = EM_386;
    eh.e_phoff = sizeof(eh);
    eh.e_phentsize = sizeof(Elf32_Phdr);
    eh.e_phnum = IMG_SEGMENTS + 1;
    memcpy(m->bytes, &eh, sizeof(eh));
    for (size_t i = 0; i <= IMG_SEGMENTS; i++) {
        Elf32_Phdr ph = {
            .p_type = full.ph[i].p_type,
            .p_offset = (uint32_t)full.ph[i].p_offset,
            .p_paddr = (uint32_t)full.ph[i].p_paddr,
            .p_filesz = (uint32_t)full.ph[i].p_filesz,
            .p_memsz = (uint32_t)full.ph[i].p_memsz,
        };

        memcpy(m->bytes + sizeof(eh) + i * sizeof(ph), &ph, sizeof(ph));
    }
}

/* A bzImage around a payload; buf needs BZ_OVERHEAD more than len. Returns the size. */
#define BZ_SETUP_SECTORS 2
#define BZ_PAYLOAD_AT    0x40
#define BZ_OVERHEAD      ((BZ_SETUP_SECTORS + 1) * 512 + BZ_PAYLOAD_AT)

static inline size_t bz_make(uint8_t *buf, const uint8_t *payload, size_t len)
{
    memset(buf, 0, BZ_OVERHEAD);
    buf[0x1f1] = BZ_SETUP_SECTORS;
    buf[0x1fe] = 0x55;
    buf[0x1ff] = 0xaa;
    memcpy(buf + 0x202, "HdrS", 4);
    buf[0x206] = 0x0f;
    buf[0x207] = 0x02;
    img_put32(buf + 0x248, BZ_PAYLOAD_AT);
    img_put32(buf + 0x24c, (uint32_t)len);
    memcpy(buf + BZ_OVERHEAD, payload, len);
    return BZ_OVERHEAD + len;
}

#endif
