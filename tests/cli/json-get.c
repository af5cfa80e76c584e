/* json-get [NAME|INDEX]…: reads one JSON value from standard input, strictly, and prints the member at that
 * path: strings as they are, numbers and words as in JSON, arrays and objects as their length. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	json_error_t err;
	json_t *root = json_loadf(stdin, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &err), *at = root;

	if (!root) {
		printf("no JSON: %s\n", err.text);
		return 1;
	}
	for (int i = 1; i < argc && at; i++)
		at = json_is_array(at) ? json_array_get(at, (size_t)atol(argv[i])) : json_object_get(at, argv[i]);
	if (!at)
		puts("(none)");
	else if (json_is_string(at))
		puts(json_string_value(at));
	else if (json_is_array(at) || json_is_object(at))
		printf("%zu\n", json_is_array(at) ? json_array_size(at) : json_object_size(at));
	else
		json_dumpf(at, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	json_decref(root);
	return 0;
}
