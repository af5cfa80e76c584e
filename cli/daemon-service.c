/* The daemon as a service of the user: a systemd unit, or a launchd agent. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/daemon-ask.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __APPLE__
enum { LAUNCHD = 1 };
#else
enum { LAUNCHD = 0 };
#endif
#define UNIT "kache-daemon.service"
#define AGENT "io.kache.daemon"

/* Fresh memory, or NULL without a home. */
static char *service_file(void)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");

	if (LAUNCHD)
		return home && *home == '/' ? kache_path_join(home, "Library/LaunchAgents/" AGENT ".plist") : NULL;
	if (config && *config == '/')
		return kache_path_join(config, "systemd/user/" UNIT);
	return home && *home == '/' ? kache_path_join(home, ".config/systemd/user/" UNIT) : NULL;
}

/* systemd.service(5): '%' begins a specifier, and within quotes '"' and '\' are escaped. */
static void unit_quote(struct kache_buf *b, const char *s)
{
	kache_buf_ch(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			kache_buf_ch(b, '\\');
		if (*s == '%')
			kache_buf_ch(b, '%');
		kache_buf_ch(b, *s);
	}
	kache_buf_ch(b, '"');
}

static void xml_quote(struct kache_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			kache_buf_str(b, "&amp;");
		else if (*s == '<')
			kache_buf_str(b, "&lt;");
		else
			kache_buf_ch(b, *s);
	}
}

static void systemd_unit(struct kache_buf *b, const char *program, const char *root)
{
	KACHE_AUTO_FREE char *variable = kache_asprintf("KACHE_CACHE_DIR=%s", root);

	kache_buf_str(b, "[Unit]\nDescription=kache build cache daemon\nDocumentation=man:kache-daemon(1)\n\n[Service]\nExecStart=");
	unit_quote(b, program);
	kache_buf_str(b, " daemon run\nEnvironment=");
	unit_quote(b, variable);
	kache_buf_str(b, "\nRestart=on-failure\nNice=5\n\n[Install]\nWantedBy=default.target\n");
}

static void launchd_agent(struct kache_buf *b, const char *program, const char *root)
{
	kache_buf_str(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
		      "<plist version=\"1.0\"><dict>\n<key>Label</key><string>" AGENT "</string>\n"
		      "<key>ProgramArguments</key><array><string>");
	xml_quote(b, program);
	kache_buf_str(b, "</string><string>daemon</string><string>run</string></array>\n"
		      "<key>EnvironmentVariables</key><dict><key>KACHE_CACHE_DIR</key><string>");
	xml_quote(b, root);
	kache_buf_str(b, "</string></dict>\n<key>RunAtLoad</key><true/>\n<key>LowPriorityIO</key><true/>\n</dict></plist>\n");
}

/* Runs a program quietly; its exit status, 127 where there is none. */
static int quietly(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int fd = 0; fd < 3 && null >= 0; fd++)
			dup2(null, fd);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

/* Tells the service manager; says what to run by hand where it can't be reached. */
static void manager(bool install, const char *path)
{
	static const char *const reload[] = { "systemctl", "--user", "daemon-reload", NULL };
	static const char *const enable[] = { "systemctl", "--user", "enable", "--now", UNIT, NULL };
	static const char *const disable[] = { "systemctl", "--user", "disable", "--now", UNIT, NULL };
	const char *const load[] = { "launchctl", "load", "-w", path, NULL };
	const char *const unload[] = { "launchctl", "unload", "-w", path, NULL };
	bool ok = LAUNCHD ? !quietly(install ? load : unload)
		: install ? !quietly(reload) && !quietly(enable) : !quietly(disable);

	if (ok)
		printf("the service is %s\n", install ? "enabled and running" : "stopped and disabled");
	else if (LAUNCHD)
		printf("launchctl can't be reached; run: launchctl %s -w %s\n", install ? "load" : "unload", path);
	else
		printf("systemd's user manager can't be reached; run: systemctl --user %s --now " UNIT "\n",
		       install ? "daemon-reload && systemctl --user enable" : "disable");
}

static void service_text(struct kache_buf *text, const char *program, const struct kache_conf *conf)
{
	const char *root = kache_conf_str(conf, KACHE_CONF_CACHE_DIR);

	if (LAUNCHD)
		launchd_agent(text, program, root);
	else
		systemd_unit(text, program, root);
}

bool kache_cli_service_is(const char *program, const struct kache_conf *conf)
{
	KACHE_AUTO_FREE char *path = service_file();
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT, there = KACHE_BUF_INIT;

	if (!path || !program || kache_file_read(path, 1 << 20, &there))
		return false;
	service_text(&text, program, conf);
	return text.len == there.len && !memcmp(text.data, there.data, text.len);
}

int kache_cli_service_install(const char *program, const struct kache_conf *conf)
{
	KACHE_AUTO_FREE char *path = service_file();
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (!path)
		return kache_cli_fail("daemon install: HOME is not set");
	service_text(&text, program, conf);
	if (kache_file_replace(path, text.data, text.len, 0644))
		return kache_cli_fail("daemon install: %s: %s", path, strerror(errno));
	printf("%s written\n", path);
	fflush(stdout);
	manager(true, path);
	puts("It takes its settings from the configuration file, not from the variables of a shell.");
	return KACHE_EXIT_OK;
}

int kache_cli_service_uninstall(void)
{
	KACHE_AUTO_FREE char *path = service_file();

	if (!path)
		return kache_cli_fail("daemon uninstall: HOME is not set");
	if (access(path, F_OK)) {
		puts("the service is not installed");
		return KACHE_EXIT_OK;
	}
	manager(false, path);
	if (unlink(path))
		return kache_cli_fail("daemon uninstall: %s: %s", path, strerror(errno));
	printf("%s removed\n", path);
	return KACHE_EXIT_OK;
}
