/* SPDX-License-Identifier: MIT */
/* Kernel images: good ones, spoiled ones, cut ones; in memory of just their size, for ASan. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <bzlib.h>
#include <cmocka.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "libxenctrl/guest/decompress.h"
#include "libxenctrl/guest/kernel.h"
#include "tests/unit/kernel_images.h"

static uint8_t *exact_copy(const void *data, size_t len)
{
    uint8_t *p = malloc(len ? len : 1);

    assert_non_null(p);
    memcpy(p, data, len);
    return p;
}

static int parse(const void *data, size_t len, struct kernel_image *k, struct kernel_error *err)
{
    uint8_t *p = exact_copy(data, len);
    int rc = kernel_parse_elf(p, len, k, err);

    free(p);
    return rc ? rc : kernel_check_pvh(k, err);
}

static void check_good(const struct img *m)
{
    struct kernel_error err;
    struct kernel_image k;
    uint8_t mem[0x4000];

    assert_int_equal(parse(m->bytes, IMG_SIZE, &k, &err), 0);
    assert_int_equal(k.start, 0x100000);
    assert_int_equal(k.end, 0x104000);
    assert_int_equal(k.nr_segments, 2);
    assert_int_equal(k.value[KN_PHYS32_ENTRY], IMG_ENTRY);
    assert_string_equal(k.guest_os, "testos");
    memset(mem, 0xee, sizeof(mem));
    kernel_load(&k, m->bytes, mem);
    assert_memory_equal(mem, m->bytes + IMG_DATA, 0x1000);
    assert_memory_equal(mem + 0x2000, m->bytes + IMG_DATA + 0x1000, 0x1000);
    for (size_t i = 0x3000; i < 0x4000; i++) {
        assert_int_equal(mem[i], 0);
    }
    assert_int_equal(mem[0x1000], 0xee);
}

static void test_elf(void **state)
{
    struct img m;

    img_make(&m);
    check_good(&m);
    img_make32(&m);
    check_good(&m);
}

/* Each makes an image bad; the error must name the cause. */
static void bad_magic(struct img *m) { m->bytes[0] = 0; }
static void bad_class(struct img *m) { m->bytes[EI_CLASS] = 3; }
static void bad_endian(struct img *m) { m->bytes[EI_DATA] = ELFDATA2MSB; }
static void bad_machine(struct img *m) { m->eh.e_machine = EM_AARCH64; }
static void bad_type(struct img *m) { m->eh.e_type = ET_REL; }
static void bad_phoff(struct img *m) { m->eh.e_phoff = ~0ull; }
static void bad_phnum(struct img *m) { m->eh.e_phnum = 60000; }
static void no_phdrs(struct img *m) { m->eh.e_phnum = 0; }
static void bad_phentsize(struct img *m) { m->eh.e_phentsize = 8; }
static void no_loads(struct img *m) { m->ph[0].p_type = m->ph[1].p_type = PT_NULL; }
static void overlap(struct img *m) { m->ph[1].p_paddr = 0x100fff; }
static void same_place(struct img *m) { m->ph[1].p_paddr = m->ph[0].p_paddr; }
static void wrap(struct img *m) { m->ph[1].p_paddr = ~0xfffull; }
static void more_in_file(struct img *m) { m->ph[0].p_filesz = 0x1001; }
static void outside(struct img *m) { m->ph[0].p_offset = IMG_SIZE - 0xfff; }
static void offset_wraps(struct img *m) { m->ph[0].p_offset = ~0ull; }
static void no_note(struct img *m) { m->ph[2].p_type = PT_NULL; }
static void note_outside(struct img *m) { m->ph[2].p_offset = IMG_SIZE; }
static void note_size(struct img *m) { img_put32(m->bytes + IMG_NOTES + 4, 0xfffffff0); }
static void note_name(struct img *m) { img_put32(m->bytes + IMG_NOTES, 0xffffffff); }
static void entry_low(struct img *m) { img_put32(m->bytes + IMG_NOTES + 16, 0xfffff); }
static void entry_high(struct img *m) { img_put32(m->bytes + IMG_NOTES + 16, 0x104000); }

static void test_bad_elf(void **state)
{
    static const struct { void (*spoil)(struct img *m); const char *cause; } cases[] = {
        { bad_magic, "neither an ELF" }, { bad_class, "not a little-endian" },
        { bad_endian, "not a little-endian" }, { bad_machine, "another architecture" },
        { bad_type, "not an executable" }, { bad_phoff, "headers are bad" },
        { bad_phnum, "headers are bad" }, { no_phdrs, "headers are bad" },
        { bad_phentsize, "headers are bad" }, { no_loads, "nothing to load" },
        { overlap, "overlap" }, { same_place, "overlap" }, { wrap, "wraps" },
        { more_in_file, "larger in the file" }, { outside, "outside the file" },
        { offset_wraps, "outside the file" }, { no_note, "PHYS32_ENTRY" },
        { note_outside, "outside the file" }, { note_size, "do not fit" },
        { note_name, "do not fit" }, { entry_low, "outside its segments" },
        { entry_high, "outside its segments" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kernel_error err = { "" };
        struct kernel_image k;
        struct img m;

        img_make(&m);
        cases[i].spoil(&m);
        errno = 0;
        assert_int_equal(parse(m.bytes, IMG_SIZE, &k, &err), -1);
        assert_int_equal(errno, EINVAL);
        if (!strstr(err.text, cases[i].cause)) {
            fail_msg("case %zu: \"%s\"", i, err.text);
        }
    }
}

static void test_cut_elf(void **state)
{
    struct kernel_error err;
    struct kernel_image k;
    struct img m;

    img_make(&m);
    for (size_t len = 0; len < IMG_SIZE; len++) {
        assert_int_equal(parse(m.bytes, len, &k, &err), -1);
    }
}

/* ---- packed images --------------------------------------------------------------------------- */

struct packed {
    uint8_t data[IMG_SIZE * 2];
    size_t len;
};

static void pack_gzip(const uint8_t *in, size_t len, struct packed *p)
{
    z_stream z = { 0 };

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)len;
    z.next_out = p->data;
    z.avail_out = sizeof(p->data);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    p->len = z.total_out;
    deflateEnd(&z);
}

static void pack_bzip2(const uint8_t *in, size_t len, struct packed *p)
{
    unsigned int out = sizeof(p->data);

    assert_int_equal(BZ2_bzBuffToBuffCompress((char *)p->data, &out, (char *)(uintptr_t)in,
                                              (unsigned int)len, 1, 0, 0), BZ_OK);
    p->len = out;
}

static void pack_lzma_stream(lzma_stream *z, const uint8_t *in, size_t len, struct packed *p)
{
    z->next_in = in;
    z->avail_in = len;
    z->next_out = p->data;
    z->avail_out = sizeof(p->data);
    assert_int_equal(lzma_code(z, LZMA_FINISH), LZMA_STREAM_END);
    p->len = z->total_out;
    lzma_end(z);
}

static void pack_lzma(const uint8_t *in, size_t len, struct packed *p)
{
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_options_lzma opt;

    assert_false(lzma_lzma_preset(&opt, 1));
    assert_int_equal(lzma_alone_encoder(&z, &opt), LZMA_OK);
    pack_lzma_stream(&z, in, len, p);
}

static void pack_xz(const uint8_t *in, size_t len, struct packed *p)
{
    lzma_stream z = LZMA_STREAM_INIT;

    assert_int_equal(lzma_easy_encoder(&z, 1, LZMA_CHECK_CRC32), LZMA_OK);
    pack_lzma_stream(&z, in, len, p);
}

static void pack_lz4(const uint8_t *in, size_t len, struct packed *p)
{
    int n = LZ4_compress_default((const char *)in, (char *)p->data + 8, (int)len,
                                 sizeof(p->data) - 8);

    assert_true(n > 0);
    img_put32(p->data, 0x184c2102);
    img_put32(p->data + 4, (uint32_t)n);
    p->len = 8 + (size_t)n;
}

static void pack_zstd(const uint8_t *in, size_t len, struct packed *p)
{
    p->len = ZSTD_compress(p->data, sizeof(p->data), in, len, 3);
    assert_false(ZSTD_isError(p->len));
}

static const struct {
    enum dc_format format;
    void (*pack)(const uint8_t *in, size_t len, struct packed *p);
} packers[] = {
    { DC_GZIP, pack_gzip }, { DC_BZIP2, pack_bzip2 }, { DC_LZMA, pack_lzma },
    { DC_XZ, pack_xz }, { DC_LZ4, pack_lz4 }, { DC_ZSTD, pack_zstd },
};
#define NR_PACKERS (sizeof(packers) / sizeof(packers[0]))

static void bzimage(unsigned int packer, uint8_t *buf, size_t *len)
{
    static struct packed p;
    struct img m;

    img_make(&m);
    packers[packer].pack(m.bytes, IMG_SIZE, &p);
    assert_int_equal(dc_detect(p.data, p.len), packers[packer].format);
    /* Linux appends the unpacked size. */
    img_put32(p.data + p.len, IMG_SIZE);
    *len = bz_make(buf, p.data, p.len + 4);
}

static uint8_t bz_buf[IMG_SIZE * 2 + BZ_OVERHEAD];

static void test_bzimage(void **state)
{
    for (unsigned int i = 0; i < NR_PACKERS; i++) {
        struct kernel_error err = { "" };
        uint8_t *out, *in;
        size_t len, out_len;
        struct img m;

        img_make(&m);
        bzimage(i, bz_buf, &len);
        in = exact_copy(bz_buf, len);
        assert_true(kernel_is_bzimage(in, len));
        assert_int_equal(kernel_unpack(in, len, IMG_SIZE, &out, &out_len, &err), 0);
        assert_int_equal(out_len, IMG_SIZE);
        assert_memory_equal(out, m.bytes, IMG_SIZE);
        free(out);
        errno = 0;
        assert_int_equal(kernel_unpack(in, len, IMG_SIZE - 1, &out, &out_len, &err), -1);
        assert_int_equal(errno, EFBIG);
        assert_null(out);
        assert_non_null(strstr(err.text, "more than is allowed"));
        assert_non_null(strstr(err.text, dc_name(packers[i].format)));
        free(in);
    }
}

/* No cut or flipped bit may do more than fail, or unpack to something within the limit. */
static void test_spoiled_bzimage(void **state)
{
    unsigned int failed = 0;

    for (unsigned int i = 0; i < NR_PACKERS; i++) {
        struct kernel_error err;
        size_t len, out_len;
        uint8_t *out, *in;

        bzimage(i, bz_buf, &len);
        for (size_t cut = 0; cut < len; cut += 7) {
            in = exact_copy(bz_buf, cut);
            if (kernel_unpack(in, cut, 1 << 20, &out, &out_len, &err)) {
                failed++;
            } else {
                /* Too short even for the setup header: not a packed image at all. */
                assert_null(out);
                assert_true(cut < 0x250);
            }
            free(in);
        }
        for (size_t at = 0; at < len; at += 3) {
            in = exact_copy(bz_buf, len);
            in[at] ^= (uint8_t)(1u << at % 8);
            if (kernel_unpack(in, len, 1 << 20, &out, &out_len, &err)) {
                failed++;
            } else {
                assert_true(out_len <= 1 << 20);
                free(out);
            }
            free(in);
        }
    }
    assert_true(failed > 1000);
}

static void test_other_packing(void **state)
{
    static const uint8_t lzo[16] = { 0x89, 'L', 'Z', 'O', 0, 13, 10 };
    struct kernel_error err;
    struct packed p;
    size_t len, out_len;
    uint8_t *out;
    struct img m;

    /* Known by name only. */
    len = bz_make(bz_buf, lzo, sizeof(lzo));
    assert_int_equal(kernel_unpack(bz_buf, len, 1 << 20, &out, &out_len, &err), -1);
    assert_int_equal(errno, ENOTSUP);
    assert_non_null(strstr(err.text, "lzo"));
    /* A payload of nothing known. */
    len = bz_make(bz_buf, (const uint8_t *)"some text", 9);
    assert_int_equal(kernel_unpack(bz_buf, len, 1 << 20, &out, &out_len, &err), -1);
    assert_non_null(strstr(err.text, "no known compression"));
    /* An unpacked payload, a packed ELF image, and a plain one. */
    img_make(&m);
    len = bz_make(bz_buf, m.bytes, IMG_SIZE);
    assert_int_equal(kernel_unpack(bz_buf, len, 1 << 20, &out, &out_len, &err), 0);
    assert_memory_equal(out, m.bytes, IMG_SIZE);
    free(out);
    pack_gzip(m.bytes, IMG_SIZE, &p);
    assert_int_equal(kernel_unpack(p.data, p.len, 1 << 20, &out, &out_len, &err), 0);
    assert_memory_equal(out, m.bytes, IMG_SIZE);
    free(out);
    assert_int_equal(kernel_unpack(m.bytes, IMG_SIZE, 1 << 20, &out, &out_len, &err), 0);
    assert_null(out);
    /* A boot protocol from before the payload fields. */
    len = bz_make(bz_buf, p.data, p.len);
    bz_buf[0x206] = 0x07;
    assert_int_equal(kernel_unpack(bz_buf, len, 1 << 20, &out, &out_len, &err), -1);
    assert_non_null(strstr(err.text, "2.07"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf),
        cmocka_unit_test(test_bad_elf),
        cmocka_unit_test(test_cut_elf),
        cmocka_unit_test(test_bzimage),
        cmocka_unit_test(test_spoiled_bzimage),
        cmocka_unit_test(test_other_packing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
