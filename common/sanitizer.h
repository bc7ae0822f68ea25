/* SPDX-License-Identifier: MIT */
/*
 * KR_ASAN is 1 in builds with AddressSanitizer: gcc says so by a macro, clang by a feature. For
 * code whose needs differ there (system calls, stack size), never for what it does.
 */
#ifndef KR_COMMON_SANITIZER_H
#define KR_COMMON_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define KR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KR_ASAN 1
#endif
#endif
#ifndef KR_ASAN
#define KR_ASAN 0
#endif

#endif
