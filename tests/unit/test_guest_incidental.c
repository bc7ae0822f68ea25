/* SPDX-License-Identifier: MIT */
/* What libxenguest exports beside its interface: the ELF reader, names, sums, packed images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cmocka.h>

#include "libxenctrl/guest/dom.h"
#include "libxenctrl/guest/elf_reader.h"
#include "libxenctrl/guest/incidental.h"
#include "tests/unit/fake_hypercall.h"

static xentoollog_logger *logger;
static xc_interface *xch;
static char *image;
static size_t size;

static int start(void **state)
{
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY);

    fake_start();
    logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
    xch = xc_interface_open(logger, NULL, 0);
    if (!xch || fd < 0 || fstat(fd, &st)) {
        return -1;
    }
    size = (size_t)st.st_size;
    image = malloc(size);
    return read_exact(fd, image, size) || close(fd);
}

static int stop(void **state)
{
    free(image);
    xc_interface_close(xch);
    xtl_logger_destroy(logger);
    fake_stop();
    return 0;
}

/* ---- ELF -------------------------------------------------------------------------------- */

/* Looks at everything; what it finds does not matter, that it comes back does. */
static unsigned int look(struct elf_binary *elf)
{
    unsigned int n = elf_shdr_count(elf), p = elf_phdr_count(elf), found = 0;

    for (unsigned i = 0; i < n && i < 100; i++) {
        elf_ptrval shdr = elf_shdr_by_index(elf, i);
        const char *name = elf_section_name(elf, shdr);

        found += name && *name == '.';
        found += elf_section_end(elf, shdr) > elf_section_start(elf, shdr);
    }
    for (unsigned i = 0; i < p && i < 100; i++) {
        elf_ptrval phdr = elf_phdr_by_index(elf, i), note;

        found += elf_phdr_is_loadable(elf, phdr);
        if (elf_access_unsigned(elf, phdr, 0, 4) != PT_NOTE) {
            continue;
        }
        note = elf_segment_start(elf, phdr);
        for (unsigned k = 0; k < 100 && note < elf_segment_end(elf, phdr); k++) {
            const char *name = elf_note_name(elf, note);

            found += name && !strcmp(name, "GNU");
            found += elf_note_numeric(elf, note) + elf_note_numeric_array(elf, note, 4, k) > 1;
            note = elf_note_next(elf, note);
        }
    }
    return found;
}

static void test_elf(void **state)
{
    struct elf_binary elf;
    elf_ptrval text;
    Elf64_Shdr sh;

    assert_true(elf_is_elfbinary(image, size));
    assert_false(elf_is_elfbinary("\177ELF", 4));
    assert_int_equal(elf_init(&elf, "nothing of the sort, though it is long enough for a header",
                              58), -1);
    assert_int_equal(elf_init(&elf, image, size), 0);
    xc_elf_set_logfile(xch, &elf, 1);
    elf_call_log_callback(&elf, false, "a message of %d words", 4);
    assert_true(look(&elf) > 20);
    text = elf_shdr_by_name(&elf, ".text");
    assert_true(text != 0);
    memcpy(&sh, (const void *)text, sizeof(sh));
    assert_int_equal(elf_section_end(&elf, text) - elf_section_start(&elf, text), sh.sh_size);
    assert_int_equal(elf_shdr_by_name(&elf, ".no such section"), 0);
    assert_true(elf_lookup_addr(&elf, "main") - sh.sh_addr < sh.sh_size);
    assert_true(elf_lookup_addr(&elf, "no such symbol") == ~0ull);
    assert_int_equal(elf_round_up(&elf, 9), 16);
    assert_null(elf_check_broken(&elf));

    /* Outside of the image nothing is touched. */
    assert_int_equal(elf_access_unsigned(&elf, (uintptr_t)image + size - 3, 0, 4), 0);
    assert_string_equal(elf_check_broken(&elf), "out of range access");
    assert_false(elf_access_ok(&elf, (uintptr_t)image - 1, 1));
    assert_false(elf_access_ok(&elf, (uintptr_t)image, size + 1));
    assert_false(elf_access_ok(&elf, (uintptr_t)image + 8, SIZE_MAX));
    assert_string_equal(elf_strfmt(&elf, (uintptr_t)image + size), "(invalid)");
}

static void test_elf_hostile(void **state)
{
    static const char bad[] = { 0, 1, 0x7f, (char)0x80, (char)0xff };
    Elf64_Ehdr head;
    struct elf_binary elf;
    size_t parts[3][2];

    memcpy(&head, image, sizeof(head));
    parts[0][0] = 4;
    parts[0][1] = sizeof(head);
    parts[1][0] = head.e_phoff;
    parts[1][1] = head.e_phoff + 4 * sizeof(Elf64_Phdr);
    parts[2][0] = head.e_shoff;
    parts[2][1] = head.e_shoff + 4 * sizeof(Elf64_Shdr);
    for (size_t part = 0; part < 3; part++) {
        for (size_t at = parts[part][0]; at < parts[part][1]; at++) {
            char was = image[at];

            for (size_t i = 0; i < sizeof(bad); i++) {
                image[at] = bad[i];
                if (!elf_init(&elf, image, size)) {
                    look(&elf);
                }
            }
            image[at] = was;
        }
    }
    /* Cut short anywhere in the header. */
    for (size_t len = 0; len < 2 * sizeof(head); len++) {
        char *copy = malloc(len ? len : 1);

        memcpy(copy, image, len);
        if (!elf_init(&elf, copy, len)) {
            look(&elf);
        }
        free(copy);
    }
}

/* ---- the rest --------------------------------------------------------------------------- */

static void test_names(void **state)
{
    unsigned long page[512];

    for (unsigned int i = 0; i < 512; i++) {
        page[i] = 0x123456789abcdeful * (i + 1);
    }
    assert_int_equal(csum_page(page), 0xae147ae1e9bf95e1ul);    /* as 4.17's has it */
    assert_string_equal(rec_type_to_str(0), "End");
    assert_string_equal(rec_type_to_str(0x12), "x86 MSR policy");
    assert_string_equal(rec_type_to_str(0x13), "Reserved");
    assert_string_equal(rec_type_to_str(~0u), "Reserved");
    assert_string_equal(dhdr_type_to_str(2), "x86 HVM");
    assert_string_equal(dhdr_type_to_str(3), "Reserved");
    assert_int_equal(x86_cpuid_lookup_vendor(0x756e6547, 0x6c65746e, 0x49656e69), 1);
    assert_int_equal(x86_cpuid_lookup_vendor(0x68747541, 0x444d4163, 0x69746e65), 2);
    assert_int_equal(x86_cpuid_lookup_vendor(0, 0, 0), 0);
    assert_string_equal(x86_cpuid_vendor_to_str(16), "Hygon");
    assert_string_equal(x86_cpuid_vendor_to_str(3), "Unknown");
    /* Without XSAVE there is no AVX, nor anything that stands on it. */
    assert_int_equal(x86_cpu_policy_lookup_deep_deps(1 * 32 + 26)[1] & 1u << 28, 1u << 28);
    assert_null(x86_cpu_policy_lookup_deep_deps(1));
    assert_null(xc_get_static_cpu_featuremask(99));
}

static void test_packed(void **state)
{
    char text[5000], packed[6000], *out;
    unsigned long len = 0;
    z_stream z = { .next_in = (void *)text, .avail_in = sizeof(text), .next_out = (void *)packed,
                   .avail_out = sizeof(packed) };

    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)(i * i);
    }
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out = xc_inflate_buffer(xch, packed, z.total_out, &len);
    assert_non_null(out);
    assert_int_equal(len, sizeof(text));
    assert_memory_equal(out, text, sizeof(text));
    free(out);
    assert_ptr_equal(xc_inflate_buffer(xch, text, sizeof(text), &len), text);
    packed[z.total_out / 2] ^= 1;
    assert_null(xc_inflate_buffer(xch, packed, z.total_out, &len));
    deflateEnd(&z);

    out = xc_read_image(xch, "/proc/self/exe", &len);
    assert_non_null(out);
    assert_int_equal(len, size);
    assert_memory_equal(out, image, size);
    free(out);
    assert_null(xc_read_image(xch, "/no such file", &len));
    assert_int_equal(errno, ENOENT);
    assert_null(xc_read_image(xch, "/dev/zero", &len));
    assert_int_equal(errno, EINVAL);
}

/* A kind of image that a program brings itself. */
static unsigned int steps;

static int probe(struct xc_dom_image *dom)
{
    return dom->kernel_size == 3 && !memcmp(dom->kernel_blob, "own", 3) ? 0 : -EINVAL;
}

static int parser(struct xc_dom_image *dom)
{
    steps++;
    dom->guest_type = "own-3.0-guest";
    return 0;
}

static void test_registered(void **state)
{
    static struct xc_dom_loader loader = { (char *)(uintptr_t)"own", probe, parser, NULL, NULL };
    static struct xc_dom_arch arch = { .guest_type = "own-3.0-guest" };
    struct xc_dom_image *dom = xc_dom_allocate(xch, NULL, NULL);

    fake.caps = "hvm-3.0-x86_32 own-3.0-guest";
    xc_dom_register_loader(&loader);
    xc_dom_register_arch_hooks(&arch);
    dom->container_type = XC_DOM_HVM_CONTAINER;
    assert_int_equal(xc_dom_kernel_mem(dom, "own", 3), 0);
    assert_int_equal(xc_dom_compat_check(dom), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xc_dom_boot_xen_init(dom, xch, FAKE_DOMID), 0);
    assert_int_equal(xc_dom_parse_image(dom), 0);
    assert_int_equal(steps, 1);
    assert_ptr_equal(dom->arch_hooks, &arch);
    assert_ptr_equal(dom->kernel_loader, &loader);
    xc_dom_release(dom);
    /* Others go their usual way. */
    dom = xc_dom_allocate(xch, NULL, NULL);
    dom->container_type = XC_DOM_HVM_CONTAINER;
    assert_int_equal(xc_dom_kernel_mem(dom, "odd", 3), 0);
    assert_int_equal(xc_dom_parse_image(dom), -1);
    assert_null(dom->kernel_loader);
    xc_dom_release(dom);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_elf), T(test_elf_hostile), T(test_names), T(test_packed), T(test_registered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
