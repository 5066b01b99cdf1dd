/* Clocks that a test can set for one process: loaded before libc (LD_PRELOAD), this adds to CLOCK_REALTIME and to CLOCK_BOOTTIME what stands
 * in the file TEST_WALL_CLOCK, one number of nanoseconds for each. The file is mapped, so a jump is seen by the next question. The second is
 * for machines that were paused from outside, whose clocks all stood still; nobody sets it otherwise. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead; /* of the wall clock, and of the clock since boot */

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("TEST_WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED)
        ahead = found;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    int wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (failed || !ahead || (!wall && clock != CLOCK_BOOTTIME))
        return failed;
    int64_t all = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + ahead[wall ? 0 : 1];
    now->tv_sec = all / 1000000000;
    now->tv_nsec = all % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return (time_t)-1;
    if (into)
        *into = exact.tv_sec;
    return exact.tv_sec;
}
