// SPDX-License-Identifier: GPL-2.0-only
/* The golden vectors, as the C side decodes them. The TypeScript side decodes the same file. */
#include <errno.h>
#include <string.h>

#include "common/link.h"
#include "test.h"

#define LINE_BYTES (4 << 20)

static size_t from_hex(const char *text, uint8_t *to)
{
	size_t n = 0;
	unsigned int byte;

	for (; sscanf(text, "%2x", &byte) == 1; text += 2)
		to[n++] = (uint8_t)byte;
	return n;
}

/* What a receiver makes of a frame that is first on its connection. */
static int decode(const uint8_t *frame, size_t bytes)
{
	struct pmsm_wire_header header;
	int error;

	if (bytes < sizeof(header))
		return -ENODATA;
	memcpy(&header, frame, sizeof(header));
	error = frame_check_header(&header, 0, SIZE_MAX);
	if (error)
		return error;
	if (bytes != sizeof(header) + header.payload_bytes)
		return -ENODATA;
	return frame_check_payload(header.type, frame + sizeof(header), header.payload_bytes,
				   header.payload_digest);
}

int main(void)
{
	const char *root = getenv("PMSM_ROOT");
	char *line = malloc(LINE_BYTES), *name, *hex, *code, path[512];
	uint8_t *frame = malloc(LINE_BYTES / 2);
	int vectors = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/agent/wire/vectors/frames.txt", root ? root : ".");
	f = fopen(path, "r");
	CHECK(f != NULL, "vectors can be read");
	while (f && fgets(line, LINE_BYTES, f)) {
		char *kind = strtok(line, " \n");
		int error;

		if (!kind || *kind == '#')
			continue;
		vectors++;
		name = strtok(NULL, " \n");
		code = strcmp(kind, "bad") == 0 ? strtok(NULL, " \n") : NULL;
		hex = strtok(NULL, " \n");
		error = decode(frame, hex ? from_hex(hex, frame) : 0);
		if (!code)
			CHECK(error == 0, "good %s", name);
		else
			CHECK(error < 0 &&
				  strcmp(pmsm_error_name(link_error_code(error, PMSM_E_INTERNAL)),
					 code) == 0,
			      "bad %s is %s", name, code);
	}
	CHECK(vectors > 40, "%d vectors", vectors);
	if (f)
		fclose(f);
	free(line);
	free(frame);
	return test_end();
}
