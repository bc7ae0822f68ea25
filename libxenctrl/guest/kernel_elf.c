/* SPDX-License-Identifier: MIT */
/*
 * ELF images. Both widths are read through one set of accessors into 64-bit numbers, so that each
 * check exists once. Field layouts are <elf.h>'s, the notes xen/elfnote.h's.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/guest/kernel_internal.h"

/* More headers than any kernel has; keeps hostile files from costing time. */
#define MAX_PHDRS 64
#define MAX_SHDRS 4096
#define MAX_NOTES 512

/* The file under inspection. */
struct elf_file {
    const uint8_t *data;
    size_t size;
    bool is_64bit;
    struct kernel_error *err;
};

/* A program or section header, as far as it matters here. */
struct elf_range {
    uint32_t type;
    uint64_t offset;
    uint64_t file_size;
    uint64_t paddr;
    uint64_t mem_size;
};

/* A table of headers in the file. */
struct elf_table {
    uint64_t offset;
    uint32_t entry_size;
    uint32_t count;
};

/* Unaligned little-endian number of `bytes` bytes; the caller has checked that they are there. */
static uint64_t get(const struct elf_file *f, uint64_t at, unsigned int bytes)
{
    uint64_t v = 0;

    for (unsigned int i = 0; i < bytes; i++) {
        v |= (uint64_t)f->data[at + i] << (8 * i);
    }
    return v;
}

#define FIELD(f, at, type, field)                                                             \
    ((f)->is_64bit                                                                            \
     ? get(f, (at) + offsetof(Elf64_##type, field), sizeof(((Elf64_##type *)0)->field))       \
     : get(f, (at) + offsetof(Elf32_##type, field), sizeof(((Elf32_##type *)0)->field)))

#define SIZE(f, type) ((f)->is_64bit ? sizeof(Elf64_##type) : sizeof(Elf32_##type))

static bool in_file(const struct elf_file *f, uint64_t offset, uint64_t len)
{
    return offset <= f->size && len <= f->size - offset;
}

static int parse_ident(struct elf_file *f)
{
    uint32_t machine, type;

    if (!kernel_is_elf(f->data, f->size) || f->size < EI_NIDENT) {
        return kernel_fail(f->err, "not a kernel: neither an ELF file nor a Linux bzImage");
    }
    f->is_64bit = f->data[EI_CLASS] == ELFCLASS64;
    if ((!f->is_64bit && f->data[EI_CLASS] != ELFCLASS32) || f->data[EI_DATA] != ELFDATA2LSB) {
        return kernel_fail(f->err, "the kernel is not a little-endian 32 or 64-bit ELF file");
    }
    if (f->size < SIZE(f, Ehdr)) {
        return kernel_fail(f->err, "the kernel is truncated: %zu bytes", f->size);
    }
    machine = (uint32_t)FIELD(f, 0, Ehdr, e_machine);
    type = (uint32_t)FIELD(f, 0, Ehdr, e_type);
    if (machine != EM_386 && machine != EM_X86_64) {
        return kernel_fail(f->err, "the kernel is for another architecture (ELF machine %u)",
                           machine);
    }
    if (type != ET_EXEC && type != ET_DYN) {
        return kernel_fail(f->err, "the kernel is not an executable (ELF type %u)", type);
    }
    return 0;
}

/* The program header table, or with sections the section header table (which may be missing). */
static int parse_table(const struct elf_file *f, bool sections, struct elf_table *t)
{
    uint32_t max = sections ? MAX_SHDRS : MAX_PHDRS;
    size_t least = sections ? SIZE(f, Shdr) : SIZE(f, Phdr);

    t->offset = sections ? FIELD(f, 0, Ehdr, e_shoff) : FIELD(f, 0, Ehdr, e_phoff);
    t->entry_size = (uint32_t)(sections ? FIELD(f, 0, Ehdr, e_shentsize)
                                        : FIELD(f, 0, Ehdr, e_phentsize));
    t->count = (uint32_t)(sections ? FIELD(f, 0, Ehdr, e_shnum) : FIELD(f, 0, Ehdr, e_phnum));
    if (sections && (!t->offset || !t->count)) {
        t->count = 0;
        return 0;
    }
    if (!t->count || t->count > max || t->entry_size < least ||
        !in_file(f, t->offset, (uint64_t)t->count * t->entry_size)) {
        return kernel_fail(f->err, "the kernel's ELF %s headers are bad or lie outside the file",
                           sections ? "section" : "program");
    }
    return 0;
}

static struct elf_range phdr(const struct elf_file *f, const struct elf_table *t, uint32_t i)
{
    uint64_t at = t->offset + (uint64_t)i * t->entry_size;

    return (struct elf_range){
        .type = (uint32_t)FIELD(f, at, Phdr, p_type),
        .offset = FIELD(f, at, Phdr, p_offset),
        .file_size = FIELD(f, at, Phdr, p_filesz),
        .paddr = FIELD(f, at, Phdr, p_paddr),
        .mem_size = FIELD(f, at, Phdr, p_memsz),
    };
}

static int add_segment(const struct elf_file *f, struct kernel_image *k, uint32_t i,
                       const struct elf_range *r)
{
    struct kernel_segment *s = &k->segments[k->nr_segments];

    if (k->nr_segments == KERNEL_MAX_SEGMENTS) {
        return kernel_fail(f->err, "the kernel has more than %d segments", KERNEL_MAX_SEGMENTS);
    }
    if (r->file_size > r->mem_size) {
        return kernel_fail(f->err, "the kernel's segment %u is larger in the file than in memory",
                           i);
    }
    if (!in_file(f, r->offset, r->file_size)) {
        return kernel_fail(f->err, "the kernel is truncated: segment %u lies outside the file", i);
    }
    if (r->paddr + r->mem_size < r->paddr) {
        return kernel_fail(f->err, "the kernel's segment %u wraps around the address space", i);
    }
    s->paddr = r->paddr;
    s->mem_size = r->mem_size;
    s->offset = (size_t)r->offset;
    s->file_size = (size_t)r->file_size;
    k->nr_segments++;
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct kernel_segment *x = a, *y = b;

    return (x->paddr > y->paddr) - (x->paddr < y->paddr);
}

static int parse_segments(const struct elf_file *f, const struct elf_table *t,
                          struct kernel_image *k)
{
    for (uint32_t i = 0; i < t->count; i++) {
        struct elf_range r = phdr(f, t, i);

        if (r.type == PT_LOAD && r.mem_size && add_segment(f, k, i, &r)) {
            return -1;
        }
    }
    if (!k->nr_segments) {
        return kernel_fail(f->err, "the kernel has nothing to load");
    }
    qsort(k->segments, k->nr_segments, sizeof(k->segments[0]), by_address);
    for (unsigned int i = 1; i < k->nr_segments; i++) {
        const struct kernel_segment *s = &k->segments[i - 1];

        if (s->paddr + s->mem_size > s[1].paddr) {
            return kernel_fail(f->err, "the kernel's segments at %#llx and %#llx overlap",
                               (unsigned long long)s->paddr, (unsigned long long)s[1].paddr);
        }
    }
    k->start = k->segments[0].paddr;
    k->end = k->segments[k->nr_segments - 1].paddr + k->segments[k->nr_segments - 1].mem_size;
    return 0;
}

/* Copies a text that should end in a zero, but need not. */
static void copy_text(char *to, const struct elf_file *f, uint64_t at, uint64_t len)
{
    if (len > KERNEL_STR_MAX - 1) {
        len = KERNEL_STR_MAX - 1;
    }
    memcpy(to, f->data + at, len);
    to[len] = '\0';
}

static void take_note(const struct elf_file *f, struct kernel_image *k, uint32_t type,
                      uint64_t at, uint64_t len)
{
    switch (type) {
    case KN_GUEST_OS:
        copy_text(k->guest_os, f, at, len);
        break;
    case KN_GUEST_VERSION:
        copy_text(k->guest_version, f, at, len);
        break;
    case KN_FEATURES:
        copy_text(k->features, f, at, len);
        break;
    case KN_LOADER:
    case KN_PAE_MODE:
    case KN_BSD_SYMTAB:
        break;
    default:
        if (type >= KN_COUNT || (len != 1 && len != 2 && len != 4 && len != 8)) {
            return;
        }
        k->value[type] = get(f, at, (unsigned int)len);
        break;
    }
    k->notes |= 1u << type;
}

/* A note section: name size, descriptor size, type, name and descriptor each padded to 4. */
static int parse_notes(const struct elf_file *f, struct kernel_image *k, uint64_t at,
                       uint64_t len, unsigned int *budget)
{
    if (!in_file(f, at, len)) {
        return kernel_fail(f->err, "the kernel is truncated: its notes lie outside the file");
    }
    while (len >= sizeof(Elf32_Nhdr)) {
        uint64_t name_len = get(f, at, 4), desc_len = get(f, at + 4, 4);
        uint32_t type = (uint32_t)get(f, at + 8, 4);
        uint64_t name_pad = (name_len + 3) & ~3ull, desc_pad = (desc_len + 3) & ~3ull;
        uint64_t total = sizeof(Elf32_Nhdr) + name_pad + desc_pad;

        if (sizeof(Elf32_Nhdr) + name_pad + desc_len > len || !*budget) {
            return kernel_fail(f->err, "the kernel's ELF notes do not fit where they should be");
        }
        --*budget;
        if (name_len == 4 && !memcmp(f->data + at + sizeof(Elf32_Nhdr), "Xen", 4)) {
            take_note(f, k, type, at + sizeof(Elf32_Nhdr) + name_pad, desc_len);
        }
        if (total > len) {
            break;
        }
        at += total;
        len -= total;
    }
    return 0;
}

/* Notes are found by program headers; old linkers left only sections. */
static int parse_all_notes(const struct elf_file *f, const struct elf_table *t,
                           struct kernel_image *k)
{
    unsigned int budget = MAX_NOTES;
    struct elf_table sections;

    for (uint32_t i = 0; i < t->count; i++) {
        struct elf_range r = phdr(f, t, i);

        if (r.type == PT_NOTE && parse_notes(f, k, r.offset, r.file_size, &budget)) {
            return -1;
        }
    }
    if (k->notes) {
        return 0;
    }
    if (parse_table(f, true, &sections)) {
        return -1;
    }
    for (uint32_t i = 0; i < sections.count; i++) {
        uint64_t at = sections.offset + (uint64_t)i * sections.entry_size;

        if (FIELD(f, at, Shdr, sh_type) == SHT_NOTE &&
            parse_notes(f, k, FIELD(f, at, Shdr, sh_offset), FIELD(f, at, Shdr, sh_size),
                        &budget)) {
            return -1;
        }
    }
    return 0;
}

int kernel_parse_elf(const uint8_t *image, size_t size, struct kernel_image *out,
                     struct kernel_error *err)
{
    struct elf_file f = { .data = image, .size = size, .err = err };
    struct elf_table phdrs;

    memset(out, 0, sizeof(*out));
    if (parse_ident(&f) || parse_table(&f, false, &phdrs) ||
        parse_segments(&f, &phdrs, out) || parse_all_notes(&f, &phdrs, out)) {
        return -1;
    }
    out->is_64bit = f.is_64bit;
    out->elf_entry = FIELD(&f, 0, Ehdr, e_entry);
    return 0;
}
