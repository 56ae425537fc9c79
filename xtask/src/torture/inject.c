/* Injects a fault into a program's N-th call of one kind on one disk, whichever thread makes it. Loaded
 * with LD_PRELOAD.
 *
 * INJECT_DISK    calls on files below this directory count
 * INJECT_CALL    the kind, such as fdatasync
 * INJECT_NUMBER  which one, from 1
 * INJECT_FAULT   kill: die instead of the call; tear: die when half of the bytes are written;
 *                a number: fail with this errno; half: write half of the bytes, and fail the next
 *                call of the kind with ENOSPC, as a disk does that fills up; list: let all calls of
 *                all kinds pass, and note them
 * INJECT_MARK    a file that names the call that it happened to, or all of them
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int count;

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void mark(const char *call, const char *path) {
    const char *file = getenv("INJECT_MARK");
    char text[PATH_MAX + 64];
    int length = snprintf(text, sizeof text, "%s %s\n", call, path);
    long fd = file ? syscall(SYS_openat, AT_FDCWD, file, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        syscall(SYS_write, fd, text, (long)length);
        syscall(SYS_close, fd);
    }
}

/* What is done to this call: 0 is nothing, -1 is half of it, -2 is half of it and death, else an errno. */
static int fault_of(const char *call, const char *path) {
    const char *wanted = getenv("INJECT_CALL"), *disk = getenv("INJECT_DISK");
    const char *at = getenv("INJECT_NUMBER"), *fault = getenv("INJECT_FAULT");
    if (!wanted || !disk || !at || !fault || strncmp(path, disk, strlen(disk))) return 0;
    if (!strcmp(fault, "list")) mark(call, path);
    if (strcmp(call, wanted)) return 0;
    int number = atomic_fetch_add(&count, 1) + 1, chosen = atoi(at);
    if (!strcmp(fault, "half") && number == chosen + 1) return ENOSPC;
    if (number != chosen) return 0;
    mark(call, path);
    if (!strcmp(fault, "kill")) die();
    if (!strcmp(fault, "tear")) return -2;
    return strcmp(fault, "half") ? atoi(fault) : -1;
}

static int fault_of_open_file(const char *call, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (long)sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fault_of(call, path);
}

static int fault_of_path(const char *call, const char *path) {
    char whole[PATH_MAX];
    if (path[0] == '/') return fault_of(call, path);
    if (!getcwd(whole, sizeof whole)) return 0;
    size_t length = strlen(whole);
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return fault_of(call, whole);
}

#define FAIL_WITH(error) do { errno = (error); return -1; } while (0)

static ssize_t partly(ssize_t written, int what) {
    if (what == -2) die();
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    int what = fault_of_open_file("write", fd);
    if (what > 0) FAIL_WITH(what);
    if (what < 0) return partly(syscall(SYS_write, fd, bytes, (length + 1) / 2), what);
    return syscall(SYS_write, fd, bytes, length);
}

static ssize_t positioned(int fd, const void *bytes, size_t length, off_t at) {
    int what = fault_of_open_file("pwrite64", fd);
    if (what > 0) FAIL_WITH(what);
    if (what < 0) return partly(syscall(SYS_pwrite64, fd, bytes, (length + 1) / 2, at), what);
    return syscall(SYS_pwrite64, fd, bytes, length, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return positioned(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return positioned(fd, bytes, length, at); }

#define ON_OPEN_FILE(name, call)                      \
    int name(int fd) {                                \
        int what = fault_of_open_file(call, fd);       \
        if (what > 0) FAIL_WITH(what);                \
        return (int)syscall(SYS_##name, fd);          \
    }
ON_OPEN_FILE(fsync, "fsync")
ON_OPEN_FILE(fdatasync, "fdatasync")

static int cut(int fd, off_t length) {
    int what = fault_of_open_file("ftruncate", fd);
    if (what > 0) FAIL_WITH(what);
    return (int)syscall(SYS_ftruncate, fd, length);
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

int rename(const char *from, const char *to) {
    int what = fault_of_path("rename", from);
    if (what > 0) FAIL_WITH(what);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
    int what = fault_of_path("unlink", path);
    if (what > 0) FAIL_WITH(what);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
    int what = fault_of_path("openat", path);
    if (what > 0) FAIL_WITH(what);
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE(flags, mode)                                     \
    mode_t mode = 0;                                          \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                  \
        va_list rest;                                         \
        va_start(rest, flags);                                \
        mode = va_arg(rest, mode_t);                          \
        va_end(rest);                                         \
    }
int open(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, mode) return opened(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, mode) return opened(dir, path, flags | O_LARGEFILE, mode); }
