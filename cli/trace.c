/* trace.c: the reader. It walks the text once, by hand: a trace of 100,000 operations takes milliseconds. */
#include "cli/trace.h"

#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#endif
#endif

#define COLUMNS          "op,id,size,stream,t_ns"
#define CHUNK            (1u << 20)
#define MAX_TEXT_BYTES   (1ull << 32) /* a few bytes of gzip can claim to be terabytes */
#define SHORTEST_ROW     10u          /* "a,0,0,0,0\n" */
#define MAX_LIVE_BYTES   (1ull << 62)
#define DEVICE_ALIGNMENT 512u
#define HOST_ALIGNMENT   64u
#define NO_STREAM        UINT16_MAX

/* Tensors live in device memory, where allocators round to 512 bytes; these words in a header tell such a trace. */
static const char *const device_words[] = {"gpu", "cuda", "npu", "tensor", "rocm", "opencl", "vulkan", NULL};

typedef enum id_state { ID_UNKNOWN, ID_LIVE, ID_FREED } id_state;

typedef struct trace_reader {
    const char *next, *end;
    uint64_t line;
    allocation_trace trace;
    uint32_t op_capacity;
    uint64_t *sizes; /* by id; 0: never allocated */
    uint8_t *states; /* by id */
    uint64_t id_limit, allocations;
    uint64_t last_t_ns, declared_ops, declared_preamble;
    bool has_declared_ops;
    uint16_t streams[TRACE_MAX_STREAMS]; /* number in the file to our number */
    trace_problem *problem;
} trace_reader;

static bool wrong(trace_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
wrong(trace_reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    reader->problem->line = reader->line;
    vsnprintf(reader->problem->message, sizeof reader->problem->message, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- Lines and numbers ---- */

typedef struct span {
    const char *text;
    size_t bytes;
} span;

static bool
next_line(trace_reader *reader, span *out)
{
    if (reader->next == reader->end)
        return false;
    const char *newline = memchr(reader->next, '\n', (size_t)(reader->end - reader->next));
    out->text = reader->next;
    out->bytes = (size_t)((newline ? newline : reader->end) - reader->next);
    if (out->bytes && out->text[out->bytes - 1] == '\r')
        out->bytes--;
    reader->next = newline ? newline + 1 : reader->end;
    reader->line++;
    return true;
}

/* A decimal number at the front of `text`, which moves behind it. */
static bool
take_number(span *text, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < text->bytes && text->text[i] >= '0' && text->text[i] <= '9'; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text->text[i] - '0'), &value))
            return false;
    text->text += i;
    text->bytes -= i;
    *out = value;
    return i > 0;
}

static bool
take_comma(span *text)
{
    if (text->bytes == 0 || text->text[0] != ',')
        return false;
    text->text++;
    text->bytes--;
    return true;
}

static bool
is_text(span line, const char *text)
{
    return line.bytes == strlen(text) && memcmp(line.text, text, line.bytes) == 0;
}

/* ---- The header ---- */

/* At the begin of a word only: "input" holds no "npu". */
static bool
holds_word(span line, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= line.bytes; i++) {
        bool is_begin = i == 0 || !isalpha((unsigned char)line.text[i - 1]);
        if (is_begin && strncasecmp(line.text + i, word, length) == 0)
            return true;
    }
    return false;
}

/* "# key: 123": the number, when the line has that key. */
static bool
take_key(trace_reader *reader, span line, const char *key, uint64_t *out, bool *is_there)
{
    size_t length = strlen(key);
    *is_there = line.bytes > length && memcmp(line.text, key, length) == 0 && line.text[length] == ':';
    if (!*is_there)
        return true;
    span value = {line.text + length + 1, line.bytes - length - 1};
    while (value.bytes && value.text[0] == ' ') {
        value.text++;
        value.bytes--;
    }
    if (!take_number(&value, out) || value.bytes)
        return wrong(reader, "'%s' wants a whole number", key);
    return true;
}

static bool
read_comment(trace_reader *reader, span line)
{
    bool is_there;
    span key = {line.text + 1, line.bytes - 1};
    while (key.bytes && key.text[0] == ' ') {
        key.text++;
        key.bytes--;
    }

    if (!take_key(reader, key, "preamble_ops", &reader->declared_preamble, &is_there))
        return false;
    if (!take_key(reader, key, "ops", &reader->declared_ops, &is_there))
        return false;
    reader->has_declared_ops |= is_there;

    uint64_t alignment = 0;
    if (!take_key(reader, key, "alignment", &alignment, &is_there))
        return false;
    if (is_there && (alignment == 0 || (alignment & (alignment - 1)) || alignment > (1u << 30)))
        return wrong(reader, "the alignment is a power of two up to 1 GiB");
    if (is_there)
        reader->trace.alignment = alignment;
    return true;
}

static uint64_t
guess_alignment(span header)
{
    for (unsigned i = 0; device_words[i]; i++)
        if (holds_word(header, device_words[i]))
            return DEVICE_ALIGNMENT;
    return HOST_ALIGNMENT;
}

static bool
read_header(trace_reader *reader)
{
    const char *begin = reader->next;
    span line;
    while (next_line(reader, &line)) {
        if (line.bytes && line.text[0] == '#') {
            if (!read_comment(reader, line))
                return false;
            continue;
        }
        if (!is_text(line, COLUMNS))
            return wrong(reader, "expected the header line '" COLUMNS "'; is this an allocation trace?");
        if (reader->trace.alignment == 0)
            reader->trace.alignment = guess_alignment((span){begin, (size_t)(line.text - begin)});
        return true;
    }
    return wrong(reader, "the header line '" COLUMNS "' is missing; is this an allocation trace?");
}

/* ---- The operations ---- */

typedef struct trace_row {
    char op;
    uint64_t id, size, stream, t_ns;
} trace_row;

static bool
read_row(trace_reader *reader, trace_row *out, span line)
{
    if (line.bytes == 0 || (line.text[0] != 'a' && line.text[0] != 'f'))
        return wrong(reader, "an operation begins with 'a' (allocate) or 'f' (free)");
    out->op = line.text[0];
    line.text++;
    line.bytes--;

    struct {
        const char *name;
        uint64_t *out;
    } fields[] = {{"id", &out->id}, {"size", &out->size}, {"stream", &out->stream}, {"t_ns", &out->t_ns}};
    for (unsigned i = 0; i < 4; i++)
        if (!take_comma(&line) || !take_number(&line, fields[i].out))
            return wrong(reader, "'%s' is no whole number below 2^64; expected %s", fields[i].name, COLUMNS);
    if (line.bytes)
        return wrong(reader, "something follows the five fields");
    return true;
}

static bool
check_allocation(trace_reader *reader, const trace_row *row)
{
    if (row->id >= reader->id_limit)
        return wrong(reader, "id %llu is not dense: a file of this size cannot hold so many allocations",
                     (unsigned long long)row->id);
    if (reader->states[row->id] != ID_UNKNOWN)
        return wrong(reader, "id %llu is allocated a second time; ids are never reused", (unsigned long long)row->id);
    if (row->size > MAX_LIVE_BYTES)
        return wrong(reader, "a size of %llu bytes is larger than any memory", (unsigned long long)row->size);
    return true;
}

static bool
check_free(trace_reader *reader, const trace_row *row)
{
    if (row->id >= reader->id_limit || reader->states[row->id] == ID_UNKNOWN)
        return wrong(reader, "id %llu is freed but was never allocated", (unsigned long long)row->id);
    if (reader->states[row->id] == ID_FREED)
        return wrong(reader, "id %llu is freed a second time", (unsigned long long)row->id);
    uint64_t size = row->size ? row->size : 1;
    if (reader->sizes[row->id] != size)
        return wrong(reader, "id %llu is freed with %llu bytes but was allocated with %llu",
                     (unsigned long long)row->id, (unsigned long long)row->size,
                     (unsigned long long)reader->sizes[row->id]);
    return true;
}

/* Our number for the file's stream: 0, 1, ... as they appear. */
static bool
number_stream(trace_reader *reader, uint64_t stream, uint16_t *out)
{
    if (stream >= TRACE_MAX_STREAMS)
        return wrong(reader, "stream %llu is not a small number (below %u)", (unsigned long long)stream,
                     TRACE_MAX_STREAMS);
    if (reader->streams[stream] == NO_STREAM)
        reader->streams[stream] = (uint16_t)reader->trace.stream_count++;
    *out = reader->streams[stream];
    return true;
}

static void
append(trace_reader *reader, trace_op op)
{
    allocation_trace *trace = &reader->trace;
    if (trace->op_count == reader->op_capacity) {
        reader->op_capacity = reader->op_capacity ? reader->op_capacity * 2 : 4096;
        trace->ops = cli_grow(trace->ops, reader->op_capacity, sizeof *trace->ops);
    }
    trace->ops[trace->op_count++] = op;
}

static bool
take_row(trace_reader *reader, span line)
{
    trace_row row;
    trace_op op = {0};
    if (!read_row(reader, &row, line))
        return false;
    if (row.t_ns < reader->last_t_ns)
        return wrong(reader, "time falls from %llu to %llu ns", (unsigned long long)reader->last_t_ns,
                     (unsigned long long)row.t_ns);
    if (!(row.op == 'a' ? check_allocation(reader, &row) : check_free(reader, &row)))
        return false;
    if (!number_stream(reader, row.stream, &op.stream))
        return false;

    op.bytes = row.size ? row.size : 1;
    op.id = (uint32_t)row.id;
    op.is_free = row.op == 'f';
    reader->last_t_ns = row.t_ns;
    reader->states[row.id] = op.is_free ? ID_FREED : ID_LIVE;
    if (!op.is_free) {
        reader->sizes[row.id] = op.bytes;
        reader->allocations++;
        if (op.id >= reader->trace.id_count)
            reader->trace.id_count = op.id + 1;
    }
    append(reader, op);
    return true;
}

static bool
read_ops(trace_reader *reader)
{
    span line;
    while (next_line(reader, &line)) {
        bool is_blank_end = line.bytes == 0 && reader->next == reader->end;
        if (!is_blank_end && !take_row(reader, line))
            return false;
    }
    return true;
}

/* What only the end of the file shows. */
static bool
check_whole(trace_reader *reader)
{
    const allocation_trace *trace = &reader->trace;
    reader->line = 0;
    if (trace->op_count == 0)
        return wrong(reader, "the trace holds no operation");
    if (reader->has_declared_ops && reader->declared_ops != trace->op_count)
        return wrong(reader, "its header promises %llu operations but it holds %u; is the file cut short?",
                     (unsigned long long)reader->declared_ops, trace->op_count);
    if (reader->allocations != trace->id_count)
        return wrong(reader, "ids are not dense: %llu allocations, but the highest id is %u",
                     (unsigned long long)reader->allocations, trace->id_count - 1);
    if (reader->declared_preamble >= trace->op_count)
        return wrong(reader, "the preamble of %llu operations leaves none of %u to replay",
                     (unsigned long long)reader->declared_preamble, trace->op_count);
    return true;
}

/* ---- What follows from the operations ---- */

static bool
measure(trace_reader *reader)
{
    allocation_trace *trace = &reader->trace;
    uint64_t live = 0, held = 0, peak = 0;
    for (uint32_t i = 0; i < trace->op_count; i++) {
        const trace_op *op = &trace->ops[i];
        uint64_t rounded = (op->bytes + trace->alignment - 1) & ~(trace->alignment - 1);
        live = op->is_free ? live - op->bytes : live + op->bytes;
        held = op->is_free ? held - rounded : held + rounded;
        if (held > MAX_LIVE_BYTES) {
            reader->line = 0;
            return wrong(reader, "more than 2^62 bytes are live after operation %u", i + 1);
        }
        trace->allocated_bytes += op->is_free ? 0 : op->bytes;
        trace->peak_live_bytes = live > trace->peak_live_bytes ? live : trace->peak_live_bytes;
        trace->bound_bytes = held > trace->bound_bytes ? held : trace->bound_bytes;
        if (i >= trace->preamble_count && (live > peak || i == trace->preamble_count)) {
            peak = live;
            trace->peak_op = i;
        }
    }
    return true;
}

static bool
read_all(trace_reader *reader)
{
    if (!read_header(reader) || !read_ops(reader) || !check_whole(reader))
        return false;
    reader->trace.preamble_count = (uint32_t)reader->declared_preamble;
    return measure(reader);
}

bool
trace_parse(allocation_trace *out, const char *text, size_t bytes, trace_problem *problem)
{
    trace_reader *reader = cli_allocate(1, sizeof *reader);
    reader->next = text;
    reader->end = text + bytes;
    reader->problem = problem;
    reader->id_limit = bytes / SHORTEST_ROW + 1;
    reader->sizes = cli_allocate(reader->id_limit, sizeof *reader->sizes);
    reader->states = cli_allocate(reader->id_limit, sizeof *reader->states);
    memset(reader->streams, 0xff, sizeof reader->streams);

    bool is_good = read_all(reader);
    if (is_good)
        *out = reader->trace;
    else
        free(reader->trace.ops);
    free(reader->sizes);
    free(reader->states);
    free(reader);
    return is_good;
}

/* ---- Files ---- */

static bool
file_problem(trace_problem *problem, const char *text, const char *reason)
{
    problem->line = 0;
    snprintf(problem->message, sizeof problem->message, "%s: %s", text, reason);
    return false;
}

/* MemorySanitizer does not see into zlib, which is not built with it. */
static void
mark_set(const char *text, size_t bytes)
{
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
    __msan_unpoison(text, bytes);
#endif
#endif
    (void)text, (void)bytes;
}

/* The whole of a file, unpacked where it is packed: gzread() reads both. */
static bool
read_text(char **out, size_t *out_bytes, gzFile file, trace_problem *problem)
{
    size_t bytes = 0, capacity = 0;
    char *text = NULL;
    for (;;) {
        if (capacity - bytes < CHUNK) {
            size_t wider = capacity ? capacity * 2 : 4 * (size_t)CHUNK;
            char *grown = cli_allocate(wider, 1);
            if (bytes)
                memcpy(grown, text, bytes);
            free(text);
            text = grown;
            capacity = wider;
        }
        int got = gzread(file, text + bytes, CHUNK);
        if (got == 0)
            break;
        if (got > 0) {
            mark_set(text + bytes, (size_t)got);
            bytes += (size_t)got;
        }
        if (got < 0 || bytes > MAX_TEXT_BYTES)
            break;
    }

    int code = Z_OK;
    const char *reason = gzerror(file, &code);
    bool is_good = false;
    if (bytes > MAX_TEXT_BYTES)
        file_problem(problem, "the trace is too long", "more than 4 GiB of text; cut it into pieces");
    else if (code == Z_BUF_ERROR)
        file_problem(problem, "the gzip file is cut short", "copy it again, whole");
    else if (code == Z_ERRNO)
        file_problem(problem, "it cannot be read", strerror(errno));
    else if (code != Z_OK && code != Z_STREAM_END)
        file_problem(problem, "the gzip file is damaged", reason);
    else
        is_good = true;
    if (!is_good) {
        free(text);
        return false;
    }
    *out = text;
    *out_bytes = bytes;
    return true;
}

static bool
open_file(gzFile *out, const char *path, trace_problem *problem)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return file_problem(problem, "it cannot be opened", strerror(errno));
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(file);
        return file_problem(problem, "it is a folder", "name the files in it");
    }
    gzFile opened = gzdopen(file, "rb");
    if (!opened) {
        close(file);
        return file_problem(problem, "it cannot be read", "the host has no memory");
    }
    gzbuffer(opened, CHUNK / 4);
    *out = opened;
    return true;
}

bool
trace_read(allocation_trace *out, const char *path, trace_problem *problem)
{
    gzFile file;
    char *text;
    size_t bytes;
    if (!open_file(&file, path, problem))
        return false;
    bool is_good = read_text(&text, &bytes, file, problem);
    (void)gzclose(file); /* a reader has nothing left to lose at the end */
    if (!is_good)
        return false;
    is_good = trace_parse(out, text, bytes, problem);
    free(text);
    return is_good;
}

void
trace_fini(allocation_trace *trace)
{
    free(trace->ops);
    memset(trace, 0, sizeof *trace);
}

void
trace_name(char *out, size_t capacity, const char *path)
{
    static const char *const endings[] = {".gz", ".csv", NULL};
    const char *slash = strrchr(path, '/');
    snprintf(out, capacity, "%s", slash && slash[1] ? slash + 1 : path);
    for (unsigned i = 0; endings[i]; i++) {
        size_t length = strlen(out), ending = strlen(endings[i]);
        if (length > ending && strcmp(out + length - ending, endings[i]) == 0)
            out[length - ending] = '\0';
    }
}
