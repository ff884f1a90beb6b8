// A Vulkan driver that loses its device: everything goes to the driver that LOSE_DRIVER names, until LOSE_AFTER
// submissions have been made; from then on every submission and every wait says VK_ERROR_DEVICE_LOST.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*function)(void);
typedef function (*lookup)(void *, const char *);
enum { DEVICE_LOST = -4 };

static void *driver;
static int submissions;
static lookup real_device_lookup;
static int32_t (*real_submit)(void *, uint32_t, const void *, uint64_t);
static int32_t (*real_wait_semaphores)(void *, const void *, uint64_t);
static int32_t (*real_wait_fences)(void *, uint32_t, const uint64_t *, uint32_t, uint64_t);

static function in_driver(const char *name) {
    if (!driver) driver = dlopen(getenv("LOSE_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    return driver ? (function)dlsym(driver, name) : 0;
}

static int lost(void) {
    const char *after = getenv("LOSE_AFTER");
    return after && submissions > atoi(after);
}

static int32_t submit(void *queue, uint32_t n, const void *infos, uint64_t fence) {
    submissions++;
    return lost() ? DEVICE_LOST : real_submit(queue, n, infos, fence);
}

static int32_t wait_semaphores(void *device, const void *info, uint64_t timeout) {
    return lost() ? DEVICE_LOST : real_wait_semaphores(device, info, timeout);
}

static int32_t wait_fences(void *device, uint32_t n, const uint64_t *fences, uint32_t all, uint64_t timeout) {
    return lost() ? DEVICE_LOST : real_wait_fences(device, n, fences, all, timeout);
}

static function device_lookup(void *device, const char *name);

static function wrapped(const char *name, function real) {
    if (!real) return 0;
#define WRAP(vulkan, mine, kept) if (!strcmp(name, vulkan)) { kept = (void *)real; return (function)mine; }
    WRAP("vkGetDeviceProcAddr", device_lookup, real_device_lookup)
    WRAP("vkQueueSubmit", submit, real_submit)
    WRAP("vkWaitSemaphores", wait_semaphores, real_wait_semaphores)
    WRAP("vkWaitSemaphoresKHR", wait_semaphores, real_wait_semaphores)
    WRAP("vkWaitForFences", wait_fences, real_wait_fences)
    return real;
}

static function device_lookup(void *device, const char *name) {
    return wrapped(name, real_device_lookup(device, name));
}

function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    lookup real = (lookup)in_driver("vk_icdGetInstanceProcAddr");
    return real ? wrapped(name, real(instance, name)) : 0;
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    int32_t (*real)(uint32_t *) = (void *)in_driver("vk_icdNegotiateLoaderICDInterfaceVersion");
    return real ? real(version) : DEVICE_LOST;
}

function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
    lookup real = (lookup)in_driver("vk_icdGetPhysicalDeviceProcAddr");
    return real ? real(instance, name) : 0;
}
