/* SPDX-License-Identifier: MIT */
/*
 * Dumps of a domain's memory: an ELF file that has sections in the place of segments, Xen's core
 * dump format version 0.1 (docs/misc/dump-core-format.txt of Xen's documentation). For guests with a
 * map of their own (HVM, PVH); each page stands beside its frame number.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

#include <xen/elfnote.h>
#include <xenguest.h>

#define FORMAT_VERSION 1ull         /* major number in the upper half: 0.1 */
#define BATCH          1024u        /* pages mapped at a time */
#define NOTE_NAME      "Xen"        /* with its NUL, a multiple of 4 as notes want it */

enum { SEC_NULL, SEC_NAMES, SEC_NOTES, SEC_VCPUS, SEC_PFNS, SEC_PAGES, SEC_COUNT };

static const struct {
    const char *name;
    uint32_t type;
} sections[SEC_COUNT] = {
    [SEC_NULL]  = { "", SHT_NULL },
    [SEC_NAMES] = { ".shstrtab", SHT_STRTAB },
    [SEC_NOTES] = { ".note.Xen", SHT_NOTE },
    [SEC_VCPUS] = { ".xen_prstatus", SHT_PROGBITS },
    [SEC_PFNS]  = { ".xen_pfn", SHT_PROGBITS },
    [SEC_PAGES] = { ".xen_pages", SHT_PROGBITS },
};

struct note {
    uint32_t namesz, descsz, type;
    char name[sizeof(NOTE_NAME)];
};

/* All of the notes section. */
struct notes {
    struct note none;
    struct note header_note;
    struct {
        uint64_t magic, nr_vcpus, nr_pages, page_size;
    } header;
    struct note version_note;
    struct {
        uint64_t major, minor;
        xen_extraversion_t extra;
        xen_compile_info_t compile;
        xen_capabilities_info_t capabilities;
        xen_changeset_info_t changeset;
        xen_platform_parameters_t platform;
        uint64_t page_size;
    } version;
    struct note format_note;
    uint64_t format;
} __attribute__((packed));

struct dump {
    xc_interface *xch;
    uint32_t domid;
    dumpcore_rtn_t *put;
    void *arg;
    uint64_t at;                    /* bytes put */

    unsigned int width;             /* of the guest, in bytes */
    vcpu_guest_context_any_t *vcpus;
    size_t nr_vcpus;
    uint64_t *pfns;
    size_t nr_pages, max_pages;
};

/* ---- what there is ---------------------------------------------------------------------- */

/* vCPUs that were never brought up have no context and are left out. */
static int get_vcpus(struct dump *d, const xc_dominfo_t *info)
{
    d->vcpus = calloc((size_t)info->max_vcpu_id + 1, sizeof(*d->vcpus));
    if (!d->vcpus) {
        return -1;
    }
    for (uint32_t v = 0; v <= info->max_vcpu_id; v++) {
        if (!xc_vcpu_getcontext(d->xch, d->domid, v, &d->vcpus[d->nr_vcpus])) {
            d->nr_vcpus++;
        }
    }
    return 0;
}

static int add_page(struct dump *d, uint64_t pfn)
{
    if (d->nr_pages == d->max_pages) {
        size_t max = d->max_pages ? d->max_pages * 2 : BATCH;
        uint64_t *pfns = realloc(d->pfns, max * sizeof(*pfns));

        if (!pfns) {
            return -1;
        }
        d->pfns = pfns;
        d->max_pages = max;
    }
    d->pfns[d->nr_pages++] = pfn;
    return 0;
}

/* Which of up to BATCH frames from first on can be mapped, and so hold memory. */
static int scan(struct dump *d, xen_pfn_t first, unsigned int count)
{
    xen_pfn_t pfns[BATCH] = { 0 };
    int err[BATCH] = { 0 };
    void *p;

    for (unsigned int i = 0; i < count; i++) {
        pfns[i] = first + i;
    }
    p = xenforeignmemory_map(d->xch->fmem, d->domid, PROT_READ, count, pfns, err);
    if (!p) {
        return -1;
    }
    xenforeignmemory_unmap(d->xch->fmem, p, count);
    for (unsigned int i = 0; i < count; i++) {
        if (!err[i] && add_page(d, pfns[i])) {
            return -1;
        }
    }
    return 0;
}

static int get_pages(struct dump *d)
{
    xen_pfn_t end;

    if (xc_domain_nr_gpfns(d->xch, d->domid, &end)) {
        return -1;
    }
    for (xen_pfn_t first = 0; first < end; first += BATCH) {
        if (scan(d, first, end - first < BATCH ? (unsigned int)(end - first) : BATCH)) {
            return -1;
        }
    }
    return 0;
}

/* ---- putting it out --------------------------------------------------------------------- */

static int put(struct dump *d, const void *data, size_t len)
{
    const char *p = data;

    d->at += len;
    while (len) {
        unsigned int n = len < (1u << 20) ? (unsigned int)len : 1u << 20;

        if (d->put(d->xch, d->arg, (char *)(uintptr_t)p, n)) {
            return -1;
        }
        p += n;
        len -= n;
    }
    return 0;
}

static int put_up_to(struct dump *d, uint64_t offset)
{
    static const char zeroes[XC_PAGE_SIZE];

    return put(d, zeroes, (size_t)(offset - d->at));
}

static struct note make_note(uint32_t type, size_t len)
{
    return (struct note){ sizeof(NOTE_NAME), (uint32_t)len, type, NOTE_NAME };
}

static void make_notes(const struct dump *d, struct notes *n)
{
    int version = xc_version(d->xch, XENVER_version, NULL);

    memset(n, 0, sizeof(*n));
    n->none = make_note(XEN_ELFNOTE_DUMPCORE_NONE, 0);
    n->header_note = make_note(XEN_ELFNOTE_DUMPCORE_HEADER, sizeof(n->header));
    n->header.magic = XC_CORE_MAGIC_HVM;
    n->header.nr_vcpus = d->nr_vcpus;
    n->header.nr_pages = d->nr_pages;
    n->header.page_size = XC_PAGE_SIZE;
    n->version_note = make_note(XEN_ELFNOTE_DUMPCORE_XEN_VERSION, sizeof(n->version));
    if (version >= 0) {
        n->version.major = (uint64_t)version >> 16;
        n->version.minor = version & 0xffff;
    }
    /* A host that does not say leaves zeroes. */
    xc_version(d->xch, XENVER_extraversion, n->version.extra);
    xc_version(d->xch, XENVER_compile_info, &n->version.compile);
    xc_version(d->xch, XENVER_capabilities, n->version.capabilities);
    xc_version(d->xch, XENVER_changeset, n->version.changeset);
    xc_version(d->xch, XENVER_platform_parameters, &n->version.platform);
    n->version.page_size = XC_PAGE_SIZE;
    n->format_note = make_note(XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, sizeof(n->format));
    n->format = FORMAT_VERSION;
}

static size_t vcpu_size(const struct dump *d)
{
    return d->width == 4 ? sizeof(vcpu_guest_context_x86_32_t)
                         : sizeof(vcpu_guest_context_x86_64_t);
}

/* One behind the other, the pages at a page's boundary; names receives the names' bytes. */
static void lay_out(const struct dump *d, Elf64_Shdr *sh, char *names, size_t names_size)
{
    static const uint64_t align[SEC_COUNT] = {
        [SEC_NAMES] = 1, [SEC_NOTES] = 4, [SEC_VCPUS] = 8, [SEC_PFNS] = 8,
        [SEC_PAGES] = XC_PAGE_SIZE,
    };
    uint64_t size[SEC_COUNT] = {
        [SEC_NOTES] = sizeof(struct notes),
        [SEC_VCPUS] = d->nr_vcpus * vcpu_size(d),
        [SEC_PFNS]  = d->nr_pages * sizeof(d->pfns[0]),
        [SEC_PAGES] = (uint64_t)d->nr_pages * XC_PAGE_SIZE,
    };
    uint64_t at = sizeof(Elf64_Ehdr) + SEC_COUNT * sizeof(*sh);
    size_t name = 0;

    memset(sh, 0, SEC_COUNT * sizeof(*sh));
    memset(names, 0, names_size);
    for (unsigned int i = 0; i < SEC_COUNT; i++) {
        sh[i].sh_name = (uint32_t)name;
        strcpy(names + name, sections[i].name);
        name += strlen(sections[i].name) + 1;
    }
    size[SEC_NAMES] = name;
    for (unsigned int i = SEC_NAMES; i < SEC_COUNT; i++) {
        at = (at + align[i] - 1) & ~(align[i] - 1);
        sh[i].sh_type = sections[i].type;
        sh[i].sh_offset = at;
        sh[i].sh_size = size[i];
        sh[i].sh_addralign = align[i];
        at += size[i];
    }
    sh[SEC_VCPUS].sh_entsize = vcpu_size(d);
    sh[SEC_PFNS].sh_entsize = sizeof(d->pfns[0]);
    sh[SEC_PAGES].sh_entsize = XC_PAGE_SIZE;
}

static Elf64_Ehdr elf_header(const struct dump *d)
{
    return (Elf64_Ehdr){
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
                     ELFOSABI_SYSV },
        .e_type = ET_CORE,
        .e_machine = d->width == 4 ? EM_386 : EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SEC_COUNT,
        .e_shstrndx = SEC_NAMES,
    };
}

static int put_vcpus(struct dump *d)
{
    for (size_t v = 0; v < d->nr_vcpus; v++) {
        if (put(d, &d->vcpus[v], vcpu_size(d))) {
            return -1;
        }
    }
    return 0;
}

/* A page that is gone by now (the guest may run, if the caller likes) is put out as zeroes. */
static int put_batch(struct dump *d, size_t first, unsigned int count)
{
    static const char zeroes[XC_PAGE_SIZE];
    xen_pfn_t pfns[BATCH] = { 0 };
    int err[BATCH] = { 0 }, rc = 0;
    char *p;

    for (unsigned int i = 0; i < count; i++) {
        pfns[i] = d->pfns[first + i];
    }
    p = xenforeignmemory_map(d->xch->fmem, d->domid, PROT_READ, count, pfns, err);
    if (!p) {
        return -1;
    }
    for (unsigned int i = 0; !rc && i < count; i++) {
        rc = put(d, err[i] ? zeroes : p + (size_t)i * XC_PAGE_SIZE, XC_PAGE_SIZE);
    }
    xenforeignmemory_unmap(d->xch->fmem, p, count);
    return rc;
}

static int put_pages(struct dump *d)
{
    const char *before = xc_set_progress_prefix(d->xch, "Dumping memory");
    int rc = 0;

    for (size_t first = 0, count; !rc && first < d->nr_pages; first += count) {
        count = d->nr_pages - first < BATCH ? d->nr_pages - first : BATCH;
        rc = put_batch(d, first, (unsigned int)count);
        if (!rc) {
            xc_report_progress_step(d->xch, first + count, d->nr_pages);
        }
    }
    xc_set_progress_prefix(d->xch, before);
    return rc;
}

static int put_all(struct dump *d)
{
    Elf64_Ehdr header = elf_header(d);
    Elf64_Shdr sh[SEC_COUNT];
    char names[128];
    struct notes notes;

    lay_out(d, sh, names, sizeof(names));
    make_notes(d, &notes);
    return put(d, &header, sizeof(header)) || put(d, sh, sizeof(sh)) ||
           put_up_to(d, sh[SEC_NAMES].sh_offset) ||
           put(d, names, (size_t)sh[SEC_NAMES].sh_size) ||
           put_up_to(d, sh[SEC_NOTES].sh_offset) || put(d, &notes, sizeof(notes)) ||
           put_up_to(d, sh[SEC_VCPUS].sh_offset) || put_vcpus(d) ||
           put_up_to(d, sh[SEC_PFNS].sh_offset) ||
           put(d, d->pfns, d->nr_pages * sizeof(d->pfns[0])) ||
           put_up_to(d, sh[SEC_PAGES].sh_offset) || put_pages(d) ? -1 : 0;
}

int xc_domain_dumpcore_via_callback(xc_interface *xch, uint32_t domid, void *arg,
                                    dumpcore_rtn_t dump_rtn)
{
    struct dump d = { .xch = xch, .domid = domid, .put = dump_rtn, .arg = arg };
    xc_dominfo_t info;
    int rc = -1, saved;

    if (get_dominfo(xch, domid, &info)) {
        xc_perror(xch, "could not get domain %u's state", domid);
        return -1;
    }
    if (!info.hvm) {
        errno = EOPNOTSUPP;
        xc_error(xch, "domain %u is a PV guest, whose memory cannot be dumped", domid);
        return -1;
    }
    if (xc_domain_get_guest_width(xch, domid, &d.width) || get_vcpus(&d, &info) ||
        get_pages(&d)) {
        xc_perror(xch, "could not find out what domain %u's memory is", domid);
    } else {
        rc = put_all(&d);
        if (rc) {
            xc_perror(xch, "could not dump domain %u's memory", domid);
        }
    }
    saved = errno;
    free(d.vcpus);
    free(d.pfns);
    errno = saved;
    return rc;
}

static int to_file(xc_interface *xch, void *arg, char *buffer, unsigned int length)
{
    const int *fd = arg;

    return write_exact(*fd, buffer, length);
}

int xc_domain_dumpcore(xc_interface *xch, uint32_t domid, const char *corename)
{
    /* Guest memory: nobody else's to read. */
    int fd = open(corename, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600), rc;

    if (fd < 0) {
        xc_perror(xch, "could not create %s", corename);
        return -1;
    }
    rc = xc_domain_dumpcore_via_callback(xch, domid, &fd, to_file);
    if (!rc && fsync(fd) && errno != EINVAL && errno != EROFS) {
        xc_perror(xch, "could not write %s", corename);
        rc = -1;
    }
    if (close(fd) && !rc) {
        xc_perror(xch, "could not write %s", corename);
        rc = -1;
    }
    return rc;
}
