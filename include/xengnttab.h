/* SPDX-License-Identifier: MIT */
/*
 * Grants: mapping and copying pages that other domains have granted (xengnttab), and granting
 * pages of one's own (xengntshr).
 *
 * Handles may be shared by threads. After fork() the child may only close a handle; exec() drops
 * it safely. Closing a handle, or dying, gives back all it has mapped or shared.
 *
 * Unmap notification: for one page, each side can name a byte in it and an event channel. When its
 * map or share goes away, whatever the reason, the byte becomes 0 and the event is sent, so that a
 * peer learns of a crash. 0 must therefore mean "gone" in that byte. It is meant for peers of good
 * will; a hostile one can always hold on to things.
 */
#ifndef XENGNTTAB_H
#define XENGNTTAB_H

#include <stdint.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>

struct xentoollog_logger;

typedef struct xengntdev_handle xengnttab_handle;

/* No flags exist. Logs why it fails; NULL with errno. */
xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags);
/* NULL is fine. 0, or -1 with errno. */
int xengnttab_close(xengnttab_handle *xgt);
/* The descriptor behind the handle, which keeps it: not for polling. */
int xengnttab_fd(xengnttab_handle *xgt);

/*
 * Map grants at consecutive addresses, all or none. prot as for mmap(). They log why they fail and
 * return NULL with errno. To be undone by xengnttab_unmap() with the same count.
 */
void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot);
void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids,
                               uint32_t *refs, int prot);
void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot);

/* With unmap notification: offset in the page, and port, each -1 for none. */
void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref,
                                     int prot, uint32_t notify_offset,
                                     evtchn_port_t notify_port);

/* 0, or -1 with errno EINVAL if exactly that was not mapped. Never logs. */
int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count);

/* How many grants may be mapped at once; to be called before anything is. 0, or -1 with errno. */
int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants);

/* One copy. flags: GNTCOPY_source_gref or GNTCOPY_dest_gref says which side is foreign. */
struct xengnttab_grant_copy_segment {
    union xengnttab_copy_ptr {
        void *virt;
        struct {
            uint32_t ref;
            uint16_t offset;
            uint16_t domid;
        } foreign;
    } source, dest;
    uint16_t len;
    uint16_t flags;
    int16_t status;
};

typedef struct xengnttab_grant_copy_segment xengnttab_grant_copy_segment_t;

/*
 * Copies; a segment's status becomes GNTST_*. A foreign side must lie within its page. Returns 0
 * when all have been tried, or -1 with errno. With count 0 it tells whether copying is possible.
 */
int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                         xengnttab_grant_copy_segment_t *segs);

#define GNTDEV_DMA_FLAG_WC       (1 << 0)
#define GNTDEV_DMA_FLAG_COHERENT (1 << 1)

/*
 * Grants and dma-bufs, on a Xen host whose kernel can do it; -1 with errno ENOTSUP elsewhere.
 * exp: a dma-buf (*fd) of foreign grants; wait_released: until its last user is gone, or
 * ETIMEDOUT. imp: grants to domid of the pages of dma-buf fd, until they are released.
 */
int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags,
                                   uint32_t count, const uint32_t *refs, uint32_t *fd);
int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms);
int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t fd,
                                 uint32_t count, uint32_t *refs);
int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd);

typedef struct xengntdev_handle xengntshr_handle;

/* As for xengnttab. */
xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags);
int xengntshr_close(xengntshr_handle *xgs);
int xengntshr_fd(xengntshr_handle *xgs);

/*
 * Fresh zeroed pages, granted to domid; refs receives a reference per page. writable: whether the
 * peer may write. Logs why it fails; NULL with errno. To be undone by xengntshr_unshare().
 */
void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
                            int writable);
void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref,
                                  int writable, uint32_t notify_offset,
                                  evtchn_port_t notify_port);

/* 0, or -1 with errno EINVAL if exactly that was not shared. Never logs. */
int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count);

#endif
