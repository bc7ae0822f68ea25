/* SPDX-License-Identifier: MIT */
/* Memory that hypercalls may touch, and copies of arguments in it. */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(HYPERCALL_BUFFER_NULL) = {
    .hbuf = NULL, .param_shadow = NULL, HYPERCALL_BUFFER_INIT_NO_BOUNCE
};

void *xc__hypercall_buffer_alloc_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
    void *p = nr_pages > 0 ? xencall_alloc_buffer_pages(xch->xcall, (size_t)nr_pages) : NULL;

    if (p) {
        memset(p, 0, (size_t)nr_pages * XC_PAGE_SIZE);
    }
    b->hbuf = p;
    return p;
}

void xc__hypercall_buffer_free_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
    if (b->hbuf) {
        xencall_free_buffer_pages(xch->xcall, b->hbuf, (size_t)nr_pages);
        b->hbuf = NULL;
    }
}

void *xc__hypercall_buffer_alloc(xc_interface *xch, xc_hypercall_buffer_t *b, size_t size)
{
    void *p = xencall_alloc_buffer(xch->xcall, size);

    if (p) {
        memset(p, 0, size);
    }
    b->hbuf = p;
    return p;
}

void xc__hypercall_buffer_free(xc_interface *xch, xc_hypercall_buffer_t *b)
{
    if (b->hbuf) {
        xencall_free_buffer(xch->xcall, b->hbuf);
        b->hbuf = NULL;
    }
}

int xc__hypercall_bounce_pre(xc_interface *xch, xc_hypercall_buffer_t *b)
{
    if (!b->ubuf || !b->sz) {
        b->hbuf = NULL;
        return 0;
    }
    b->hbuf = xencall_alloc_buffer(xch->xcall, b->sz);
    if (!b->hbuf) {
        return -1;
    }
    if (b->dir & XC_HYPERCALL_BUFFER_BOUNCE_IN) {
        memcpy(b->hbuf, b->ubuf, b->sz);
    } else {
        /* What the call leaves unwritten is copied back too. */
        memset(b->hbuf, 0, b->sz);
    }
    return 0;
}

void xc__hypercall_bounce_post(xc_interface *xch, xc_hypercall_buffer_t *b)
{
    int saved = errno;

    if (b->hbuf) {
        if (b->dir & XC_HYPERCALL_BUFFER_BOUNCE_OUT) {
            memcpy(b->ubuf, b->hbuf, b->sz);
        }
        xencall_free_buffer(xch->xcall, b->hbuf);
        b->hbuf = NULL;
    }
    errno = saved;
}

struct xc_hypercall_buffer_array {
    unsigned int max;
    xc_hypercall_buffer_t bufs[];
};

xc_hypercall_buffer_array_t *xc_hypercall_buffer_array_create(xc_interface *xch, unsigned n)
{
    xc_hypercall_buffer_array_t *a = calloc(1, sizeof(*a) + n * sizeof(a->bufs[0]));

    if (a) {
        a->max = n;
    }
    return a;
}

void *xc__hypercall_buffer_array_alloc(xc_interface *xch, xc_hypercall_buffer_array_t *array,
                                       unsigned index, xc_hypercall_buffer_t *hbuf, size_t size)
{
    void *p;

    if (index >= array->max || array->bufs[index].hbuf) {
        errno = EINVAL;
        return NULL;
    }
    p = xc__hypercall_buffer_alloc(xch, hbuf, size);
    if (p) {
        array->bufs[index] = *hbuf;
    }
    return p;
}

void *xc__hypercall_buffer_array_get(xc_interface *xch, xc_hypercall_buffer_array_t *array,
                                     unsigned index, xc_hypercall_buffer_t *hbuf)
{
    if (index >= array->max || !array->bufs[index].hbuf) {
        errno = EINVAL;
        return NULL;
    }
    *hbuf = array->bufs[index];
    return hbuf->hbuf;
}

void xc_hypercall_buffer_array_destroy(xc_interface *xc, xc_hypercall_buffer_array_t *array)
{
    if (!array) {
        return;
    }
    for (unsigned int i = 0; i < array->max; i++) {
        xc__hypercall_buffer_free(xc, &array->bufs[i]);
    }
    free(array);
}
