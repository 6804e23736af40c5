// A stand-in for a frozen file system, loaded before libc: writing, opening and removing below $FROZEN_FOLDER waits as long as the file
// $FROZEN_FOLDER/frozen is there, as the kernel lets such calls wait: the parent of a vfork sleeps until its child is gone, and the kernel
// handles no signal in that thread but SIGKILL. A signal that is meant for the process and given to that thread waits, too.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void hold(const char *path) {
    const char *folder = getenv("FROZEN_FOLDER");
    char flag[4096], held[4096];
    struct timespec pause = {0, 20000000};
    if (!folder || !path || strncmp(path, folder, strlen(folder)) != 0) return;
    snprintf(flag, sizeof flag, "%s/frozen", folder);
    if (access(flag, F_OK) != 0) return;
    // The sign for the test that somebody waits.
    snprintf(held, sizeof held, "%s/held", folder);
    int sign = open(held, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (sign >= 0) close(sign);
    pid_t child = vfork();
    if (child == 0) {
        // It ends with the thread that waits for it, and keeps nobody's pipe open.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        syscall(SYS_close_range, 0U, ~0U, 0U);
        while (access(flag, F_OK) == 0) nanosleep(&pause, NULL);
        _exit(0);
    }
    if (child > 0) waitpid(child, NULL, 0);
}

static void hold_file(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    hold(path);
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    hold_file(file);
    return real(file, bytes, count);
}

int open64(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (flags & (O_WRONLY | O_RDWR | O_CREAT)) hold(path);
    return real(path, flags, mode);
}

int unlink(const char *path) {
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    hold(path);
    return real(path);
}
