/* SPDX-License-Identifier: MIT */
/* What tests of the daemon begin with: a fake host with a client, and words for what they say. */
#ifndef TESTS_XS_WORLD_H
#define TESTS_XS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/xs_fake.h"

struct world {
    struct fake f;
    struct fake_client *c;
    struct fake_msg m;
};

#define S(text) (text), sizeof(text)         /* with the terminating NUL */
#define N(text) (text), sizeof(text) - 1

/* The books must agree with the tree; done by the teardown of every test. */
void world_check(struct world *w);
int world_setup(void **state);
int world_teardown(void **state);

/* From the control domain. */
void ok(struct world *w, uint32_t type, uint32_t tx, const char *data, size_t len);
void fails(struct world *w, uint32_t type, uint32_t tx, const char *data, size_t len,
           const char *name);
/* From a guest. */
void guest_ok(struct world *w, uint16_t domid, uint32_t type, uint32_t tx, const char *data,
              size_t len);
void guest_fails(struct world *w, uint16_t domid, uint32_t type, uint32_t tx, const char *data,
                 size_t len, const char *name);
void value_is(struct world *w, uint32_t tx, const char *path, const char *value);
void perms_are(struct world *w, const char *path, const char *perms, size_t len);
bool there(struct world *w, const char *path);
uint32_t begin(struct world *w);
uint32_t guest_begin(struct world *w, uint16_t domid);

/* A guest with what the toolstack makes for it: a home that it may read, and data that it owns. */
void guest_up(struct world *w, uint16_t domid);
/* The next event to the client, or to the guest; NULL if none. */
const char *event(struct world *w);
const char *guest_event(struct world *w, uint16_t domid);
/* Takes all that is there. */
void drain(struct world *w);
void guest_drain(struct world *w, uint16_t domid);

#endif
