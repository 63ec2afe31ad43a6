/* A disk that fails, for real processes: preloaded (LD_PRELOAD), it counts the calls that change files below one
 * folder and, at the chosen one, fails it or ends the process. A tool of tests; no part of the product.
 *
 *   TRIBUTARY_DISK_FAULT=FOLDER:N:WHAT    WHAT: kill (SIGKILL instead of the call), eio, enospc (this call alone),
 *                                         full (ENOSPC for this and all that follow)
 *   TRIBUTARY_DISK_COUNT=FILE             the count so far, 8 bytes, readable while the process runs
 *
 * Calls: open that creates, write, pwrite, fsync, fdatasync, sync_file_range, ftruncate, fallocate, rename, unlink. A write that fails
 * has written half before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t folder_size;
static long long at_call;
static enum { none, kill_it, eio, enospc, full } what;
static _Atomic long long own_count;
static _Atomic long long *count = &own_count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("TRIBUTARY_DISK_FAULT");
  const char *const file = getenv("TRIBUTARY_DISK_COUNT");
  char word[16] = "";
  if (text == NULL || sscanf(text, "%4095[^:]:%lld:%15s", folder, &at_call, word) != 3) return;
  folder_size = strlen(folder);
  what = !strcmp(word, "kill") ? kill_it : !strcmp(word, "eio") ? eio : !strcmp(word, "enospc") ? enospc : !strcmp(word, "full") ? full : none;
  if (file == NULL) return;
  const int fd = REAL(open)(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || REAL(ftruncate)(fd, sizeof *count) != 0) return;
  void *const shared = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) count = shared;
}

static int inside(const char *path) {
  char whole[PATH_MAX * 2];
  if (folder_size == 0 || path == NULL) return 0;
  if (path[0] != '/') {
    if (getcwd(whole, PATH_MAX) == NULL) return 0;
    strcat(whole, "/");
    strncat(whole, path, PATH_MAX - 2);
    path = whole;
  }
  return strncmp(path, folder, folder_size) == 0;
}

static int inside_fd(int fd) {
  char link[64], path[PATH_MAX];
  if (folder_size == 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return inside(path);
}

/* The error of this call; 0: it goes through. */
static int fate(void) {
  const long long n = atomic_fetch_add(count, 1) + 1;
  if (at_call == 0 || n < at_call || (n > at_call && what != full)) return 0;
  if (what == kill_it) raise(SIGKILL);
  return what == eio ? EIO : what == none ? 0 : ENOSPC;
}

static int fails(int of_ours) {
  const int error = of_ours ? fate() : 0;
  errno = error ? error : errno;
  return error != 0;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  if (!fails(inside_fd(fd))) return REAL(write)(fd, bytes, size);
  const int error = errno;
  REAL(write)(fd, bytes, size / 2);
  errno = error;
  return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  if (!fails(inside_fd(fd))) return REAL(pwrite64)(fd, bytes, size, at);
  const int error = errno;
  REAL(pwrite64)(fd, bytes, size / 2, at);
  errno = error;
  return -1;
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

int fsync(int fd) { return fails(inside_fd(fd)) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(inside_fd(fd)) ? -1 : REAL(fdatasync)(fd); }
int sync_file_range(int fd, off64_t at, off64_t size, unsigned flags) { return fails(inside_fd(fd)) ? -1 : REAL(sync_file_range)(fd, at, size, flags); }
int ftruncate64(int fd, off64_t size) { return fails(inside_fd(fd)) ? -1 : REAL(ftruncate64)(fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return fails(inside_fd(fd)) ? -1 : REAL(fallocate64)(fd, mode, at, size); }
int fallocate(int fd, int mode, off_t at, off_t size) { return fallocate64(fd, mode, at, size); }
int posix_fallocate64(int fd, off64_t at, off64_t size) { return fails(inside_fd(fd)) ? errno : REAL(posix_fallocate64)(fd, at, size); }
int posix_fallocate(int fd, off_t at, off_t size) { return posix_fallocate64(fd, at, size); }
int rename(const char *from, const char *to) { return fails(inside(from)) ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return fails(inside(path)) ? -1 : REAL(unlink)(path); }

int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
  va_end(list);
  return fails((flags & O_CREAT) && inside(path)) ? -1 : REAL(open64)(path, flags, mode);
}
int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
  va_end(list);
  return open64(path, flags, mode);
}
