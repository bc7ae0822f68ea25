/* SPDX-License-Identifier: MIT */
/* elf_reader.c's functions, which no public header declares. */
#ifndef XG_ELF_READER_H
#define XG_ELF_READER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenguest.h>

/* An address in this process, that is checked before it is used. */
typedef uintptr_t elf_ptrval;

typedef void elf_log_callback(struct elf_binary *elf, void *caller_data, bool iserr,
                              const char *fmt, va_list al);

/* Lives with the caller; programs read class, data and ehdr. */
struct elf_binary {
    const void *image_base;
    size_t size;
    char class;
    char data;
    elf_ptrval ehdr;
    elf_ptrval sec_strtab;
    elf_ptrval sym_tab;
    elf_ptrval sym_strtab;
    void *dest_base;
    size_t dest_size;
    uint64_t pstart, pend, reloc_offset;
    uint64_t bsd_symtab_pstart, bsd_symtab_pend;
    void *caller_xdest_base;
    uint64_t caller_xdest_size;
    elf_log_callback *log_callback;
    void *log_caller_data;
    bool verbose;
    const char *broken;
};

/* 0, or -1 if it is no ELF image or its program headers are not in it. */
long elf_init(struct elf_binary *elf, const char *image, size_t size);
bool elf_is_elfbinary(const void *image_start, size_t image_size);
void elf_set_log(struct elf_binary *elf, elf_log_callback *callback, void *caller_data,
                 bool verbose);
void elf_call_log_callback(struct elf_binary *elf, bool iserr, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void elf_set_xdest(struct elf_binary *elf, void *addr, uint64_t size);
elf_ptrval elf_get_ptr(struct elf_binary *elf, unsigned long addr);

/* Why the image is broken, as far as was seen; NULL. The first reason stays. */
void elf_mark_broken(struct elf_binary *elf, const char *msg);
const char *elf_check_broken(const struct elf_binary *elf);

bool elf_access_ok(struct elf_binary *elf, uint64_t ptrval, size_t size);
uint64_t elf_access_unsigned(struct elf_binary *elf, elf_ptrval base, uint64_t offset,
                             size_t size);
void elf_memcpy_safe(struct elf_binary *elf, elf_ptrval dst, elf_ptrval src, size_t size);
void elf_memset_safe(struct elf_binary *elf, elf_ptrval dst, int c, size_t size);
uint64_t elf_round_up(struct elf_binary *elf, uint64_t addr);

/* NULL, or "(invalid)", for a text that does not end. */
const char *elf_strval(struct elf_binary *elf, elf_ptrval start);
const char *elf_strfmt(struct elf_binary *elf, elf_ptrval start);

unsigned elf_shdr_count(struct elf_binary *elf);
unsigned elf_phdr_count(struct elf_binary *elf);
elf_ptrval elf_shdr_by_index(struct elf_binary *elf, unsigned index);
elf_ptrval elf_shdr_by_name(struct elf_binary *elf, const char *name);
elf_ptrval elf_phdr_by_index(struct elf_binary *elf, unsigned index);
const char *elf_section_name(struct elf_binary *elf, elf_ptrval shdr);
elf_ptrval elf_section_start(struct elf_binary *elf, elf_ptrval shdr);
elf_ptrval elf_section_end(struct elf_binary *elf, elf_ptrval shdr);
elf_ptrval elf_segment_start(struct elf_binary *elf, elf_ptrval phdr);
elf_ptrval elf_segment_end(struct elf_binary *elf, elf_ptrval phdr);
bool elf_phdr_is_loadable(struct elf_binary *elf, elf_ptrval phdr);

elf_ptrval elf_sym_by_index(struct elf_binary *elf, unsigned index);
elf_ptrval elf_sym_by_name(struct elf_binary *elf, const char *symbol);
/* ~0 if there is none. */
uint64_t elf_lookup_addr(struct elf_binary *elf, const char *symbol);

const char *elf_note_name(struct elf_binary *elf, elf_ptrval note);
elf_ptrval elf_note_desc(struct elf_binary *elf, elf_ptrval note);
uint64_t elf_note_numeric(struct elf_binary *elf, elf_ptrval note);
uint64_t elf_note_numeric_array(struct elf_binary *elf, elf_ptrval note, unsigned int unitsz,
                                unsigned int idx);
/* All bits set after the last. */
elf_ptrval elf_note_next(struct elf_binary *elf, elf_ptrval note);

#endif
