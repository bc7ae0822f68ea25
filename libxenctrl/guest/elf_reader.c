/* SPDX-License-Identifier: MIT */
/*
 * The ELF reader that 4.17's library exports, for programs built with its private header (readnotes).
 * The builder itself uses kernel_elf.c. The head of struct elf_binary and the functions' arguments
 * are that header's; headers, sections and notes are named by their address ("handle"), 0 for none.
 *
 * The image is bytes from somebody else: what lies outside it (or the two destinations that the
 * caller named) reads as 0 and marks the image as broken, which callers look at in the end.
 */
#include "libxenctrl/guest/elf_reader.h"

#include <elf.h>
#include <limits.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

#define NOTE_HEAD  12u
#define NO_HANDLE  0
#define PAST_NOTES (~(elf_ptrval)0)

/* ---- reading ---------------------------------------------------------------------------- */

void elf_mark_broken(struct elf_binary *elf, const char *msg)
{
    if (!elf->broken) {
        elf->broken = msg;
    }
}

const char *elf_check_broken(const struct elf_binary *elf)
{
    return elf->broken;
}

static bool within(elf_ptrval at, size_t size, const void *base, uint64_t room)
{
    uint64_t offset = at - (uintptr_t)base;

    return base && at >= (uintptr_t)base && offset <= room && size <= room - offset;
}

bool elf_access_ok(struct elf_binary *elf, uint64_t ptrval, size_t size)
{
    return within(ptrval, size, elf->image_base, elf->size) ||
           within(ptrval, size, elf->dest_base, elf->dest_size) ||
           within(ptrval, size, elf->caller_xdest_base, elf->caller_xdest_size);
}

uint64_t elf_access_unsigned(struct elf_binary *elf, elf_ptrval base, uint64_t offset,
                             size_t size)
{
    uint8_t bytes[8] = { 0 };
    uint64_t value = 0;

    if (!size || size > sizeof(bytes) || !elf_access_ok(elf, base + offset, size)) {
        elf_mark_broken(elf, "out of range access");
        return 0;
    }
    memcpy(bytes, (const void *)(uintptr_t)(base + offset), size);
    for (size_t i = 0; i < size; i++) {
        size_t from = elf->data == ELFDATA2MSB ? i : size - 1 - i;

        value = value << 8 | bytes[from];
    }
    return value;
}

#define IS_64(elf) ((elf)->class == ELFCLASS64)
#define FIELD(elf, base, type, member)                                                       \
    (IS_64(elf)                                                                              \
         ? elf_access_unsigned(elf, base, offsetof(Elf64_##type, member),                    \
                               sizeof(((Elf64_##type *)0)->member))                          \
         : elf_access_unsigned(elf, base, offsetof(Elf32_##type, member),                    \
                               sizeof(((Elf32_##type *)0)->member)))

static elf_ptrval image_at(struct elf_binary *elf, uint64_t offset)
{
    return (uintptr_t)elf->image_base + offset;
}

const char *elf_strval(struct elf_binary *elf, elf_ptrval start)
{
    for (elf_ptrval p = start; elf_access_ok(elf, p, 1); p++) {
        if (!*(const char *)(uintptr_t)p) {
            return (const char *)(uintptr_t)start;
        }
        if (p - start >= UINT_MAX) {
            break;
        }
    }
    elf_mark_broken(elf, "unterminated or out of range string");
    return NULL;
}

const char *elf_strfmt(struct elf_binary *elf, elf_ptrval start)
{
    const char *s = elf_strval(elf, start);

    return s ? s : "(invalid)";
}

void elf_memcpy_safe(struct elf_binary *elf, elf_ptrval dst, elf_ptrval src, size_t size)
{
    if (!elf_access_ok(elf, dst, size) || !elf_access_ok(elf, src, size)) {
        elf_mark_broken(elf, "copy out of range");
        return;
    }
    memmove((void *)(uintptr_t)dst, (const void *)(uintptr_t)src, size);
}

void elf_memset_safe(struct elf_binary *elf, elf_ptrval dst, int c, size_t size)
{
    if (!elf_access_ok(elf, dst, size)) {
        elf_mark_broken(elf, "fill out of range");
        return;
    }
    memset((void *)(uintptr_t)dst, c, size);
}

uint64_t elf_round_up(struct elf_binary *elf, uint64_t addr)
{
    uint64_t mask = IS_64(elf) ? 7 : 3;

    return (addr + mask) & ~mask;
}

/* ---- headers ---------------------------------------------------------------------------- */

static unsigned count(struct elf_binary *elf, uint64_t n, const char *too_many)
{
    /* No header is shorter than this. */
    uint64_t most = elf->size / sizeof(Elf32_Phdr);

    if (n > most) {
        elf_mark_broken(elf, too_many);
        n = most;
    }
    return (unsigned)n;
}

unsigned elf_shdr_count(struct elf_binary *elf)
{
    return count(elf, FIELD(elf, elf->ehdr, Ehdr, e_shnum), "too many section headers");
}

unsigned elf_phdr_count(struct elf_binary *elf)
{
    return count(elf, FIELD(elf, elf->ehdr, Ehdr, e_phnum), "too many program headers");
}

elf_ptrval elf_shdr_by_index(struct elf_binary *elf, unsigned index)
{
    if (index >= elf_shdr_count(elf)) {
        return NO_HANDLE;
    }
    return image_at(elf, FIELD(elf, elf->ehdr, Ehdr, e_shoff) +
                         FIELD(elf, elf->ehdr, Ehdr, e_shentsize) * index);
}

elf_ptrval elf_phdr_by_index(struct elf_binary *elf, unsigned index)
{
    if (index >= elf_phdr_count(elf)) {
        return NO_HANDLE;
    }
    return image_at(elf, FIELD(elf, elf->ehdr, Ehdr, e_phoff) +
                         FIELD(elf, elf->ehdr, Ehdr, e_phentsize) * index);
}

const char *elf_section_name(struct elf_binary *elf, elf_ptrval shdr)
{
    if (!elf->sec_strtab) {
        return "unknown";
    }
    return elf_strval(elf, elf->sec_strtab + FIELD(elf, shdr, Shdr, sh_name));
}

elf_ptrval elf_shdr_by_name(struct elf_binary *elf, const char *name)
{
    unsigned n = elf_shdr_count(elf);

    for (unsigned i = 1; i < n; i++) {
        elf_ptrval shdr = elf_shdr_by_index(elf, i);
        const char *s = elf_access_ok(elf, shdr, 1) ? elf_section_name(elf, shdr) : NULL;

        if (s && !strcmp(s, name)) {
            return shdr;
        }
    }
    return NO_HANDLE;
}

elf_ptrval elf_section_start(struct elf_binary *elf, elf_ptrval shdr)
{
    return image_at(elf, FIELD(elf, shdr, Shdr, sh_offset));
}

elf_ptrval elf_section_end(struct elf_binary *elf, elf_ptrval shdr)
{
    return elf_section_start(elf, shdr) + FIELD(elf, shdr, Shdr, sh_size);
}

elf_ptrval elf_segment_start(struct elf_binary *elf, elf_ptrval phdr)
{
    return image_at(elf, FIELD(elf, phdr, Phdr, p_offset));
}

elf_ptrval elf_segment_end(struct elf_binary *elf, elf_ptrval phdr)
{
    return elf_segment_start(elf, phdr) + FIELD(elf, phdr, Phdr, p_filesz);
}

bool elf_phdr_is_loadable(struct elf_binary *elf, elf_ptrval phdr)
{
    return FIELD(elf, phdr, Phdr, p_type) == PT_LOAD &&
           (FIELD(elf, phdr, Phdr, p_flags) & (PF_R | PF_W | PF_X));
}

/* ---- symbols ---------------------------------------------------------------------------- */

static unsigned sym_count(struct elf_binary *elf)
{
    uint64_t size = elf->sym_tab ? FIELD(elf, elf->sym_tab, Shdr, sh_size) : 0;

    size = size < elf->size ? size : elf->size;
    return (unsigned)(size / (IS_64(elf) ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym)));
}

elf_ptrval elf_sym_by_index(struct elf_binary *elf, unsigned index)
{
    if (index >= sym_count(elf)) {
        return NO_HANDLE;
    }
    return elf_section_start(elf, elf->sym_tab) +
           (uint64_t)index * (IS_64(elf) ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym));
}

elf_ptrval elf_sym_by_name(struct elf_binary *elf, const char *symbol)
{
    unsigned n = sym_count(elf);

    for (unsigned i = 0; elf->sym_strtab && i < n; i++) {
        elf_ptrval sym = elf_sym_by_index(elf, i);
        const char *s;

        if (!elf_access_ok(elf, sym, 1) || !FIELD(elf, sym, Sym, st_name)) {
            continue;
        }
        s = elf_strval(elf, elf->sym_strtab + FIELD(elf, sym, Sym, st_name));
        if (s && !strcmp(s, symbol)) {
            return sym;
        }
    }
    return NO_HANDLE;
}

uint64_t elf_lookup_addr(struct elf_binary *elf, const char *symbol)
{
    elf_ptrval sym = elf_sym_by_name(elf, symbol);

    return sym ? FIELD(elf, sym, Sym, st_value) : ~0ull;
}

/* ---- notes ------------------------------------------------------------------------------ */

static uint64_t note_size(struct elf_binary *elf, elf_ptrval note, unsigned int field)
{
    return elf_access_unsigned(elf, note, field, 4);
}

static uint64_t round4(uint64_t n)
{
    return (n + 3) & ~3ull;
}

const char *elf_note_name(struct elf_binary *elf, elf_ptrval note)
{
    return elf_strval(elf, note + NOTE_HEAD);
}

elf_ptrval elf_note_desc(struct elf_binary *elf, elf_ptrval note)
{
    return note + NOTE_HEAD + round4(note_size(elf, note, 0));
}

uint64_t elf_note_numeric(struct elf_binary *elf, elf_ptrval note)
{
    uint64_t size = note_size(elf, note, 4);

    if (size != 1 && size != 2 && size != 4 && size != 8) {
        return 0;
    }
    return elf_access_unsigned(elf, elf_note_desc(elf, note), 0, (size_t)size);
}

uint64_t elf_note_numeric_array(struct elf_binary *elf, elf_ptrval note, unsigned int unitsz,
                                unsigned int idx)
{
    uint64_t size = note_size(elf, note, 4);

    if ((unitsz != 1 && unitsz != 2 && unitsz != 4 && unitsz != 8) || size % unitsz ||
        idx >= size / unitsz) {
        return 0;
    }
    return elf_access_unsigned(elf, elf_note_desc(elf, note), (uint64_t)idx * unitsz, unitsz);
}

elf_ptrval elf_note_next(struct elf_binary *elf, elf_ptrval note)
{
    elf_ptrval next = elf_note_desc(elf, note) + round4(note_size(elf, note, 4));

    return next > note && elf_access_ok(elf, next, 1) ? next : PAST_NOTES;
}

/* ---- the image -------------------------------------------------------------------------- */

bool elf_is_elfbinary(const void *image_start, size_t image_size)
{
    return image_size >= sizeof(Elf32_Ehdr) && !memcmp(image_start, ELFMAG, SELFMAG);
}

static void find_tables(struct elf_binary *elf)
{
    unsigned n = elf_shdr_count(elf);
    elf_ptrval names = elf_shdr_by_index(elf, (unsigned)FIELD(elf, elf->ehdr, Ehdr, e_shstrndx));

    if (names) {
        elf->sec_strtab = elf_section_start(elf, names);
    }
    for (unsigned i = 0; i < n; i++) {
        elf_ptrval shdr = elf_shdr_by_index(elf, i), strings;

        if (!elf_access_ok(elf, shdr, 1)) {
            break;
        }
        if (FIELD(elf, shdr, Shdr, sh_type) != SHT_SYMTAB) {
            continue;
        }
        strings = elf_shdr_by_index(elf, (unsigned)FIELD(elf, shdr, Shdr, sh_link));
        if (strings) {
            elf->sym_tab = shdr;
            elf->sym_strtab = elf_section_start(elf, strings);
        }
        break;
    }
}

long elf_init(struct elf_binary *elf, const char *image, size_t size)
{
    uint64_t end;

    if (!elf_is_elfbinary(image, size)) {
        return -1;
    }
    memset(elf, 0, sizeof(*elf));
    elf->image_base = image;
    elf->size = size;
    elf->ehdr = (uintptr_t)image;
    elf->class = image[EI_CLASS];
    elf->data = image[EI_DATA];
    end = FIELD(elf, elf->ehdr, Ehdr, e_phentsize) * FIELD(elf, elf->ehdr, Ehdr, e_phnum);
    if (FIELD(elf, elf->ehdr, Ehdr, e_phoff) > size ||
        end > size - FIELD(elf, elf->ehdr, Ehdr, e_phoff)) {
        return -1;
    }
    find_tables(elf);
    return 0;
}

void elf_set_xdest(struct elf_binary *elf, void *addr, uint64_t size)
{
    elf->caller_xdest_base = addr;
    elf->caller_xdest_size = size;
}

elf_ptrval elf_get_ptr(struct elf_binary *elf, unsigned long addr)
{
    return (uintptr_t)elf->dest_base + addr - elf->pstart;
}

/* ---- messages --------------------------------------------------------------------------- */

void elf_set_log(struct elf_binary *elf, elf_log_callback *callback, void *caller_data,
                 bool verbose)
{
    elf->log_callback = callback;
    elf->log_caller_data = caller_data;
    elf->verbose = verbose;
}

void elf_call_log_callback(struct elf_binary *elf, bool iserr, const char *fmt, ...)
{
    va_list al;

    va_start(al, fmt);
    if (elf->log_callback) {
        elf->log_callback(elf, elf->log_caller_data, iserr, fmt, al);
    }
    va_end(al);
}

static void to_logger(struct elf_binary *elf, void *caller_data, bool iserr, const char *fmt,
                      va_list al)
{
    xc_interface *xch = caller_data;

    xc_reportv(xch, xch->dombuild_logger, iserr ? XTL_ERROR : XTL_DETAIL,
               iserr ? XC_INVALID_KERNEL : XC_ERROR_NONE, fmt, al);
}

void xc_elf_set_logfile(xc_interface *xch, struct elf_binary *elf, int verbose)
{
    elf_set_log(elf, to_logger, xch, verbose);
}
