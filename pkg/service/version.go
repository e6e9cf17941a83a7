package service

import (
	"cmp"
	"runtime/debug"
)

// version is set by the linker, for builds without a .git: -ldflags "-X github.com/onhook/onhook/pkg/service.version=v1.2.3".
var version string

// Version is the release, the revision it was built from, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return versionOf(info)
}

// Revision is the commit that the build is of, with -dirty where files were changed, or "unknown".
func Revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		if r := revisionOf(info); r != "" {
			return r
		}
	}
	return "unknown"
}

func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return cmp.Or(revisionOf(info), "devel")
}

func revisionOf(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return ""
	}
	revision = revision[:min(12, len(revision))]
	if settings["vcs.modified"] == "true" {
		revision += "-dirty"
	}
	return revision
}
