package service

import (
	"runtime/debug"
	"testing"
)

func TestVersionOf(t *testing.T) {
	t.Parallel()
	const revision = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		main     string
		settings []debug.BuildSetting
		want     string
	}{
		"release":         {"v1.2.3", []debug.BuildSetting{{Key: "vcs.revision", Value: revision}}, "v1.2.3"},
		"revision":        {"(devel)", []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: "false"}}, "0123456789ab"},
		"changed files":   {"", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: revision}}, "0123456789ab-dirty"},
		"short revision":  {"", []debug.BuildSetting{{Key: "vcs.revision", Value: "17"}}, "17"},
		"nothing known":   {"", nil, "devel"},
		"(devel) and dir": {"(devel)", nil, "devel"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info := &debug.BuildInfo{Main: debug.Module{Version: c.main}, Settings: c.settings}
			if got := versionOf(info); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
