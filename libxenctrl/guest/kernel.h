/* SPDX-License-Identifier: MIT */
/*
 * Reading of kernel images: what kind an image is, what it asks for, and what goes where.
 *
 * An image is bytes from somebody else. Parsing copies numbers out of it and checks them against
 * each other and against the image's end; what is left in struct kernel_image can be used without
 * further checks of the image, but says nothing about the guest's memory: the caller compares
 * `start` and `end` with that.
 *
 * Never: writes to the image, reads outside it, or looks at guest memory.
 */
#ifndef XG_KERNEL_H
#define XG_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_MAX_SEGMENTS 32
#define KERNEL_STR_MAX      80

/* Part of an image: bytes at `offset`, followed by zeroes up to mem_size. */
struct kernel_segment {
    uint64_t paddr;
    uint64_t mem_size;
    size_t offset;
    size_t file_size;
};

/* Which of the numeric notes were there (xen/elfnote.h), as bits of kernel_image.notes. */
enum kernel_note {
    KN_ENTRY           = 1,
    KN_HYPERCALL_PAGE  = 2,
    KN_VIRT_BASE       = 3,
    KN_PADDR_OFFSET    = 4,
    KN_GUEST_OS        = 6,
    KN_GUEST_VERSION   = 7,
    KN_LOADER          = 8,
    KN_PAE_MODE        = 9,
    KN_FEATURES        = 10,
    KN_BSD_SYMTAB      = 11,
    KN_HV_START_LOW    = 12,
    KN_SUSPEND_CANCEL  = 14,
    KN_INIT_P2M        = 15,
    KN_MOD_START_PFN   = 16,
    KN_SUPPORTED       = 17,
    KN_PHYS32_ENTRY    = 18,
    KN_COUNT           = 19,
};

struct kernel_image {
    bool is_64bit;
    uint64_t elf_entry;
    uint64_t start;             /* lowest physical address of a segment */
    uint64_t end;               /* one past the highest */
    unsigned int nr_segments;   /* ordered by address, disjoint */
    struct kernel_segment segments[KERNEL_MAX_SEGMENTS];
    uint32_t notes;             /* bit n: note n was there */
    uint64_t value[KN_COUNT];   /* of the numeric ones */
    char guest_os[KERNEL_STR_MAX];
    char guest_version[KERNEL_STR_MAX];
    char features[KERNEL_STR_MAX];
};

/* Why something failed: a sentence without a full stop. */
struct kernel_error {
    char text[200];
};

/*
 * If the image is a compressed one (a Linux bzImage, or an ELF image that is packed as a whole),
 * unpacks it: *out is malloc()ed, at most limit bytes. An image that needs no unpacking gives
 * *out NULL. Returns 0, or -1 with errno and *err.
 */
int kernel_unpack(const uint8_t *image, size_t size, size_t limit, uint8_t **out,
                  size_t *out_size, struct kernel_error *err);

/* True for a Linux bzImage; says nothing about its being intact. */
bool kernel_is_bzimage(const uint8_t *image, size_t size);

/* True if the image starts like an ELF file. */
bool kernel_is_elf(const uint8_t *image, size_t size);

/*
 * Parses an ELF image. Returns 0, or -1 with errno EINVAL and *err: not ELF or not for x86,
 * headers or segments outside the file, segments that overlap or wrap, notes that do not fit.
 */
int kernel_parse_elf(const uint8_t *image, size_t size, struct kernel_image *out,
                     struct kernel_error *err);

/* 0 if a PVH guest can start it; else -1 with errno EINVAL and *err. */
int kernel_check_pvh(const struct kernel_image *k, struct kernel_error *err);

/*
 * Copies the segments and their zeroes to dest, which stands for guest memory from k->start and
 * must have k->end - k->start bytes. image must be what k was parsed from.
 */
void kernel_load(const struct kernel_image *k, const uint8_t *image, uint8_t *dest);

#endif
