/* hit_test.c: a magazine hit takes no lock, no atomic read-modify-write and no system call: read off the machine code.
 *
 * From a function's first instruction every path is followed until it returns or leaves for the slow way. What is met
 * on them is what a hit executes. */
#include "test.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>

/* The functions that hits go through, and where they may go on a miss. */
static const struct {
    const char *name;
    const char *slow;
} hot[] = {
    {"dcmem_raw_allocate", "allocate_slowly"},
    {"dcmem_raw_free", "free_slowly"},
};

#define MOST 1024u

typedef struct instruction {
    uint64_t address;
    char text[120]; /* "mov %rax,%rbx", "lock cmpxchg %rcx,(%rdx)", "jmp 3e1e <allocate_slowly>" */
    bool is_seen;
} instruction;

typedef struct listing {
    unsigned count;
    instruction lines[MOST];
} listing;

static bool
begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Lines of objdump: "    b870:\tmov    0x19761(%rip),%rax        # 24fd8 <...>". */
static void
read_listing(listing *out, FILE *from)
{
    char line[512];
    out->count = 0;
    while (fgets(line, sizeof line, from) && out->count < MOST) {
        char *end;
        uint64_t address = strtoull(line, &end, 16);
        if (end == line || end[0] != ':' || end[1] != '\t')
            continue;
        instruction *next = &out->lines[out->count++];
        *next = (instruction){.address = address};
        end[strcspn(end, "#\n")] = '\0';
        snprintf(next->text, sizeof next->text, "%s", end + 2);
    }
}

static unsigned
find(const listing *code, uint64_t address)
{
    for (unsigned i = 0; i < code->count; i++)
        if (code->lines[i].address == address)
            return i;
    return MOST;
}

/* Why an instruction has no place on a hit, or NULL. */
static const char *
reason_against(const char *text)
{
    if (begins(text, "lock"))
        return "an atomic read-modify-write";
    if (begins(text, "xchg") && strchr(text, '('))
        return "an exchange with memory, which locks";
    if (begins(text, "mfence") || begins(text, "syscall") || begins(text, "rdtsc") || begins(text, "cpuid"))
        return "a fence, a system call or a clock";
    return NULL;
}

/* What the walk met. */
typedef struct findings {
    unsigned instructions, returns;
    char wrong[256]; /* "" when nothing is */
} findings;

static void
blame(findings *out, const char *reason, const char *text)
{
    if (!out->wrong[0])
        snprintf(out->wrong, sizeof out->wrong, "%s: %s", reason, text);
}

/* Follows all paths from line `i`. */
static void
walk(findings *out, listing *code, unsigned i, const char *slow)
{
    for (; i < code->count && !code->lines[i].is_seen; i++) {
        instruction *at = &code->lines[i];
        at->is_seen = true;
        out->instructions++;
        const char *reason = reason_against(at->text);
        if (reason)
            blame(out, reason, at->text);
        if (begins(at->text, "ret") || begins(at->text, "repz ret")) {
            out->returns++;
            return;
        }
        bool is_call = begins(at->text, "call"), is_jump = at->text[0] == 'j';
        if (!is_call && !is_jump)
            continue;

        const char *target = at->text + strcspn(at->text, " ");
        target += strspn(target, " ");
        unsigned inside = isxdigit((unsigned char)*target) ? find(code, strtoull(target, NULL, 16)) : MOST;
        bool is_slow = strstr(target, slow) != NULL;
        if (is_call || inside == MOST) {
            if (!is_slow)
                blame(out, "it leaves for somewhere else than the slow way", at->text);
            if (is_call || begins(at->text, "jmp"))
                return;
            continue;
        }
        if (begins(at->text, "jmp")) {
            i = inside - 1;
            continue;
        }
        walk(out, code, inside, slow);
    }
}

static findings
judge(FILE *from, const char *slow)
{
    static listing code;
    findings found = {.returns = 0};
    read_listing(&code, from);
    if (code.count)
        walk(&found, &code, 0, slow);
    return found;
}

static findings
judge_text(const char *text)
{
    char copy[2048];
    snprintf(copy, sizeof copy, "%s", text);
    FILE *file = fmemopen(copy, strlen(copy), "r");
    EXPECT(file);
    findings found = judge(file, "go_slowly");
    fclose(file);
    return found;
}

TEST(hit__the_judge_follows_branches_up_to_the_slow_way)
{
    findings found = judge_text("  10:\ttest   %rax,%rax\n"
                                "  13:\tje     1a <f+0xa>\n"
                                "  15:\tmov    (%rdx),%rax        # 24fd8 <x>\n"
                                "  18:\tret\n"
                                "  19:\tlock cmpxchg %rcx,(%rdx)\n" /* nobody comes here */
                                "  1a:\tjmp    99 <go_slowly>\n");
    EXPECT_EQ(found.returns, 1);
    EXPECT_EQ(found.instructions, 5);
    if (found.wrong[0])
        fail_msg("%s", found.wrong);
}

TEST(hit__the_judge_refuses_what_a_hit_must_not_do)
{
    static const char *const bad[] = {
        "  10:\tlock xadd %rax,(%rdx)\n  14:\tret\n",
        "  10:\txchg   %rax,(%rdx)\n  14:\tret\n",
        "  10:\tje     14 <f+4>\n  12:\tret\n  14:\tmfence\n  16:\tret\n",
        "  10:\tsyscall\n  12:\tret\n",
        "  10:\tcall   99 <memcpy@plt>\n  12:\tret\n",
        "  10:\tjmp    99 <elsewhere>\n",
        "  10:\tjne    99 <elsewhere>\n  12:\tret\n",
        "  10:\tcall   *0x8(%rax)\n  12:\tret\n",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!judge_text(bad[i]).wrong[0])
            fail_msg("nothing wrong was seen in: %s", bad[i]);
    EXPECT(!judge_text("  10:\txchg   %ax,%ax\n  12:\tret\n").wrong[0]);
}

__attribute__((unused)) static bool
can_objdump(void)
{
    return system("objdump --version >/dev/null 2>&1") == 0;
}

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

static const char *
reason_to_skip(void)
{
#if !defined(__x86_64__)
    return "only x86-64 code is read";
#elif !defined(__OPTIMIZE__)
    return "an unoptimised build calls what is inlined elsewhere";
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer) ||               \
    HAS_FEATURE(thread_sanitizer) || HAS_FEATURE(memory_sanitizer)
    return "an instrumented build does more on a hit";
#elif defined(DCMI_HARDENED) || defined(DCMI_PORTABLE_FENCES)
    return "this build asks for atomic exchanges or fences on hits";
#else
    return can_objdump() ? NULL : "objdump is missing: apt-get install binutils";
#endif
}

TEST(hit__raw_memory_takes_no_lock_and_no_atomic_read_modify_write)
{
    const char *reason = reason_to_skip();
    if (reason)
        SKIP(reason);
    for (unsigned i = 0; i < sizeof hot / sizeof *hot; i++) {
        char line[1024];
        snprintf(line, sizeof line, "objdump -d --no-show-raw-insn --disassemble=%s '%s'", hot[i].name, TEST_LIBRARY);
        FILE *pipe = popen(line, "r");
        EXPECT(pipe);
        findings found = judge(pipe, hot[i].slow);
        EXPECT_EQ(pclose(pipe), 0);

        EXPECT_GE(found.instructions, 10);
        EXPECT_GE(found.returns, 1);
        if (found.wrong[0])
            fail_msg("%s: %s", hot[i].name, found.wrong);
        print_message("%s: %u instructions on its paths to a return, none locks\n", hot[i].name, found.instructions);
    }
}
