// SPDX-License-Identifier: GPL-2.0-only
#include "source/measure.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define SAMPLE_BYTES	 (8u << 20)
#define PROCESSES	 8
#define PROCESS_BYTES	 (SAMPLE_BYTES / 4)
#define PROBE_BYTES	 (256u << 10)
#define PROBES		 24
#define PROBE_WINDOW	 8
#define PROBES_IN_FLIGHT 4
#define PROBE_TIMEOUT_MS 5000
#define MEASURED_CHUNKS	 32
#define PROC_PATH_BYTES	 64

struct process {
	int pid;
	uint64_t resident_pages;
};

static uint64_t resident_pages(int pid)
{
	char path[PROC_PATH_BYTES];
	unsigned long long size = 0, resident = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident;
}

/* The biggest processes: most of what will be sent is theirs. */
static size_t biggest_processes(struct process *list)
{
	DIR *proc = opendir("/proc");
	size_t count = 0;
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);
		struct process p;
		size_t at;

		if (!isdigit((unsigned char)entry->d_name[0]) || pid == getpid())
			continue;
		p = (struct process){pid, resident_pages(pid)};
		for (at = count; at > 0 && list[at - 1].resident_pages < p.resident_pages; at--)
			if (at < PROCESSES)
				list[at] = list[at - 1];
		if (at < PROCESSES) {
			list[at] = p;
			if (count < PROCESSES)
				count++;
		}
	}
	if (proc)
		closedir(proc);
	return count;
}

/* Takes evenly spread pages of one mapping. What is not there is skipped: a sample is best effort.
 */
static size_t sample_mapping(int memory, uint64_t from, uint64_t to, uint8_t *sample, size_t room)
{
	uint64_t pages = (to - from) / PAGE_BYTES;
	uint64_t step = max_u64(1, pages / 64);
	size_t have = 0;

	for (uint64_t i = 0; i < pages && have + PAGE_BYTES <= room; i += step)
		if (pread(memory, sample + have, PAGE_BYTES, (off_t)(from + i * PAGE_BYTES)) ==
		    PAGE_BYTES)
			have += PAGE_BYTES;
	return have;
}

static size_t sample_process(int pid, uint8_t *sample, size_t room)
{
	char path[PROC_PATH_BYTES], line[512], rights[8];
	size_t have = 0;
	FILE *maps;
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (memory >= 0 && maps && have < room && fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;

		if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) != 3 || rights[0] != 'r' ||
		    rights[1] != 'w')
			continue;
		have += sample_mapping(memory, from, to, sample + have, room - have);
	}
	if (maps)
		fclose(maps);
	if (memory >= 0)
		close(memory);
	return have;
}

static bool is_zero_page(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0;
}

/* All-zero pages are not in the image, so they must not flatter the codecs. */
static size_t drop_zero_pages(uint8_t *sample, size_t bytes)
{
	size_t kept = 0;

	for (size_t at = 0; at + PAGE_BYTES <= bytes; at += PAGE_BYTES) {
		if (is_zero_page(sample + at))
			continue;
		memmove(sample + kept, sample + at, PAGE_BYTES);
		kept += PAGE_BYTES;
	}
	return kept;
}

static size_t take_sample(uint8_t *sample)
{
	struct process list[PROCESSES];
	size_t count = biggest_processes(list), have = 0;

	for (size_t i = 0; i < count && have < SAMPLE_BYTES; i++)
		have += sample_process(list[i].pid, sample + have,
				       min_u64(PROCESS_BYTES, SAMPLE_BYTES - have));
	return drop_zero_pages(sample, have);
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The median stretch counts: a pause, or answers that come in a burst, say nothing about the link.
 */
static uint64_t usual_rate(const uint64_t *answered_ns, uint64_t probe_bytes)
{
	uint64_t ns[PROBES - PROBE_WINDOW];

	for (size_t i = 0; i < ARRAY_SIZE(ns); i++)
		ns[i] = max_u64(1, answered_ns[i + PROBE_WINDOW] - answered_ns[i]);
	qsort(ns, ARRAY_SIZE(ns), sizeof(ns[0]), compare_u64);
	return (uint64_t)((double)(PROBE_WINDOW * probe_bytes) * 1e9 /
			  (double)ns[ARRAY_SIZE(ns) / 4]);
}

static int send_probe(struct attempt *a, uint64_t number, const uint8_t *sample, size_t bytes,
		      uint64_t deadline)
{
	struct pmsm_msg_probe probe = {.cookie = number};
	size_t probe_bytes = min_u64(PROBE_BYTES, bytes);
	size_t at = number * PROBE_BYTES % (bytes - probe_bytes + 1);

	return link_send(&a->stream, PMSM_MSG_PROBE, &probe, sample + at, probe_bytes, deadline);
}

static int probe_link(struct attempt *a, const uint8_t *sample, size_t bytes)
{
	uint64_t deadline = clock_deadline_ms(PROBE_TIMEOUT_MS);
	uint64_t answered_ns[PROBES], sent = 0;
	struct frame frame;
	int error = 0;

	/* Few at a time, so that an answer is seen when it comes and not when all are sent. */
	for (size_t i = 0; !error && i < PROBES; i++) {
		while (!error && sent < PROBES && sent < i + PROBES_IN_FLIGHT)
			error = send_probe(a, sent++, sample, bytes, deadline);
		if (!error)
			error = link_wait(&a->stream, &frame, deadline);
		if (!error && frame.type != PMSM_MSG_PROBE_ACK)
			error = -EPROTO;
		answered_ns[i] = clock_ns();
	}
	if (error)
		return failure_set(&a->failure, link_error_code(error, PMSM_E_STREAM_FAILED), error,
				   "measuring the link to the target: %s", strerror(-error));
	a->measured.link_bytes_per_s = usual_rate(answered_ns, min_u64(PROBE_BYTES, bytes));
	return 0;
}

struct rate {
	uint64_t bytes_per_s;
	uint64_t ratio_permille;
};

/* The chunk at the faster quarter decides: one that was interrupted says nothing of the codec. */
static struct rate measure_codec(struct attempt *a, const struct codec *codec,
				 const uint8_t *sample, size_t bytes)
{
	uint64_t ns[MEASURED_CHUNKS], stored = 0;
	uint32_t step = a->options.chunk_bytes;
	struct chunk *scratch = &a->pipeline.ring.chunks[0];
	size_t count = 0;

	for (size_t at = 0; at + step <= bytes && count < MEASURED_CHUNKS; at += step) {
		uint64_t begin = clock_ns();
		size_t n = codec->compress(&a->pipeline.contexts[0], chunk_stored(scratch),
					   step - 1, sample + at, step);

		ns[count++] = max_u64(1, clock_ns() - begin);
		stored += n ? n : step;
	}
	if (count == 0)
		return (struct rate){0, 1000};
	qsort(ns, count, sizeof(ns[0]), compare_u64);
	return (struct rate){(uint64_t)((double)step * 1e9 / (double)ns[count / 4]),
			     stored * 1000 / (count * step)};
}

uint64_t predict_us_per_mib(uint64_t link_bytes_per_s, uint64_t codec_bytes_per_s,
			    uint64_t ratio_permille, unsigned int cpus)
{
	const uint64_t mib_us = UINT64_C(1048576) * 1000000;
	/*
	 * The probes had both machines to themselves; the image shares them with its reading and
	 * loading, and then the link gives about half.
	 */
	uint64_t link =
	    link_bytes_per_s ? 2 * mib_us / link_bytes_per_s * ratio_permille / 1000 : 0;
	uint64_t codec = codec_bytes_per_s ? mib_us / codec_bytes_per_s : 0;

	/* One CPU does all stages in turn; with more they overlap, one of them kept for the rest.
	 */
	if (cpus <= 1)
		return link + codec;
	return max_u64(link, codec / (cpus - 1));
}

static void choose_codec(struct attempt *a, const uint8_t *sample, size_t bytes)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int cpus = online < 1 ? 1 : (unsigned int)online;
	uint64_t link = a->measured.link_bytes_per_s;
	uint64_t best = predict_us_per_mib(link, 0, 1000, cpus);

	a->codec = a->options.codec ? a->options.codec : codec_by_id(PMSM_CODEC_NONE);
	a->measured.codec_ratio_permille = 1000;
	for (unsigned int id = PMSM_CODEC_LZ4; id <= PMSM_CODEC_ZSTD; id++) {
		const struct codec *codec = codec_by_id(id);
		struct rate rate = measure_codec(a, codec, sample, bytes);
		uint64_t us = predict_us_per_mib(link, rate.bytes_per_s, rate.ratio_permille, cpus);

		log_text("codec %s: %llu MB/s, ratio %llu permille, predicted %llu us/MiB",
			 codec->name, (unsigned long long)rate.bytes_per_s / 1000000,
			 (unsigned long long)rate.ratio_permille, (unsigned long long)us);
		if (a->options.codec ? a->options.codec != codec
				     : rate.bytes_per_s == 0 || us >= best)
			continue;
		best = us;
		a->codec = codec;
		a->measured.codec_bytes_per_s = rate.bytes_per_s;
		a->measured.codec_ratio_permille = rate.ratio_permille;
	}
	a->measured.codec = (uint8_t)a->codec->id;
	log_text("link %llu MB/s, codec %s", (unsigned long long)link / 1000000, a->codec->name);
}

int measure(struct attempt *a)
{
	uint8_t *sample =
	    mmap(NULL, SAMPLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t bytes;
	int error;

	if (sample == MAP_FAILED)
		return failure_set(&a->failure, PMSM_E_INTERNAL, errno, "no memory to measure");
	bytes = take_sample(sample);
	if (bytes < PROBE_BYTES)
		bytes = PROBE_BYTES;
	error = probe_link(a, sample, bytes);
	if (!error)
		choose_codec(a, sample, bytes);
	munmap(sample, SAMPLE_BYTES);
	return error;
}
