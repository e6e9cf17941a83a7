//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// result is what became of one fault. Times are in milliseconds unless they say seconds.
type result struct {
	Fault          string         `json:"fault"`
	Form           string         `json:"form"`
	What           string         `json:"what"`
	Injected       int            `json:"injected"` // how often
	Sent           int            `json:"sent"`     // requests
	Calls          int            `json:"calls"`    // different call ids
	Duplicates     int            `json:"duplicates"`
	Answers        map[string]int `json:"answers"`
	Acked          int            `json:"acked"` // calls with a 200
	Stored         int            `json:"stored"`
	Unacknowledged int            `json:"stored_unacknowledged"` // allowed: the answer was lost, not the call
	Missing        int            `json:"missing"`
	Doubled        int            `json:"doubled"`
	WrongHash      int            `json:"wrong_hash"`
	Foreign        int            `json:"never_sent"`
	Dead           int            `json:"dead"`
	Ended          int            `json:"ended_by_themselves"` // processes
	P50            float64        `json:"ack_p50_ms"`
	P99            float64        `json:"ack_p99_ms"`
	Max            float64        `json:"ack_max_ms"`
	RefusedP99     float64        `json:"refusal_p99_ms"`
	LoadSeconds    float64        `json:"load_seconds"`
	DrainSeconds   float64        `json:"drain_seconds"`
	Seconds        float64        `json:"seconds"`
	Verdict        string         `json:"verdict"` // held, broken, skipped
	Note           string         `json:"note,omitempty"`
	Examples       []string       `json:"examples,omitempty"` // of what is wrong
	Rolled         []rolledPart   `json:"rolled,omitempty"`

	began  time.Time
	loss   bool // acknowledged calls are to be lost: what is shown is that the fault is one
	checks int
}

func newResult(f fault, s *suite) *result {
	form := "short"
	if s.long {
		form = "long"
	}
	return &result{Fault: f.name, Form: form, What: f.injected, Answers: map[string]int{}, began: time.Now()}
}

func (r *result) example(format string, args ...any) {
	if len(r.Examples) < 10 {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// note adds a sentence for the table.
func (r *result) note(format string, args ...any) {
	r.Note = strings.TrimSpace(r.Note + " " + fmt.Sprintf(format, args...))
}

// latencies keeps the worst of several loads.
func (r *result) latencies(acks, refused []time.Duration) {
	r.checks++
	r.P50 = max(r.P50, quantile(acks, .5))
	r.P99 = max(r.P99, quantile(acks, .99))
	r.Max = max(r.Max, quantile(acks, 1))
	r.RefusedP99 = max(r.RefusedP99, quantile(refused, .99))
}

// quantile is in milliseconds.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return round(float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000)
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// finish gives the verdict: the promise of onhook, whatever the fault was.
func (r *result) finish(t *testing.T) {
	r.Seconds = round(time.Since(r.began).Seconds())
	switch {
	case t.Skipped():
		r.Verdict = "skipped"
		return
	case r.checks == 0 || r.Acked == 0:
		t.Error("nothing was checked: no acknowledged call was compared with the database")
	case r.loss && r.Missing == 0:
		t.Error("no acknowledged call was lost, though this fault is there to show that some are")
	case !r.loss && r.Missing > 0:
		t.Errorf("%d acknowledged calls are not stored", r.Missing)
	}
	if r.Doubled > 0 || r.WrongHash > 0 || r.Foreign > 0 {
		t.Errorf("%d calls are stored twice, %d with other content, %d were never sent", r.Doubled, r.WrongHash, r.Foreign)
	}
	if r.Dead > 0 {
		t.Errorf("%d messages are dead", r.Dead)
	}
	r.Verdict = "held"
	if t.Failed() {
		r.Verdict = "broken"
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
}

// skip skips the fault and keeps the reason.
func (r *result) skip(t *testing.T, format string, args ...any) {
	t.Helper()
	r.note(format, args...)
	t.Skipf(format, args...)
}

// report is results.json.
type report struct {
	Date    string    `json:"date"`
	Version string    `json:"version"`
	Go      string    `json:"go"`
	Kernel  string    `json:"kernel"`
	Cores   int       `json:"cores"`
	Memory  string    `json:"memory"`
	Seconds float64   `json:"seconds"`
	Faults  []*result `json:"faults"`
}

// writeResults writes results.json and RESULTS.md into dir.
func writeResults(t *testing.T, dir string, began time.Time, results []*result) {
	t.Helper()
	version, err := exec.Command("git", "describe", "--always", "--tags", "--abbrev=12", "--dirty").Output()
	if err != nil {
		version = []byte("unknown")
	}
	rep := report{
		Date: began.UTC().Format(time.RFC3339), Version: strings.TrimSpace(string(version)), Go: runtime.Version(), Kernel: kernel(),
		Cores: runtime.NumCPU(), Memory: memory(), Seconds: round(time.Since(began).Seconds()), Faults: results,
	}
	b, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"results.json": append(b, '\n'), "RESULTS.md": rep.markdown()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Error(err)
		}
	}
}

func (rep report) markdown() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# What the torture suite found\n\nWritten by `make torture`; results.json has all of it.\n\n")
	p("%s, version %s, %s, Linux %s, %d cores, %s of memory; %.0f minutes.\n\n", rep.Date, rep.Version, rep.Go, rep.Kernel, rep.Cores, rep.Memory, rep.Seconds/60)
	p("Every line is a load of known calls from three providers, with bodies of 2 to 200 KiB and %d %% duplicates. Missing are calls\n", duplicates)
	p("that got 200 and are not in the database; doubled and altered are those that are there twice or with other content.\n\n")
	p("| fault | times | requests | calls | got 200 | refused | stored | missing | doubled | altered | dead | p50 ms | p99 ms | max ms | verdict |\n")
	p("|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range rep.Faults {
		p("| %s | %d | %d | %d | %d | %s | %d | %d | %d | %d | %d | %g | %g | %g | %s |\n", r.Fault, r.Injected, r.Sent, r.Calls, r.Acked,
			r.refusals(), r.Stored, r.Missing, r.Doubled, r.WrongHash, r.Dead, r.P50, r.P99, r.Max, r.Verdict)
	}
	for _, r := range rep.Faults {
		if len(r.Rolled) > 0 {
			p("\n## %s, by service\n\n%s", strings.ToUpper(r.Fault[:1])+r.Fault[1:], rolledTable(r.Rolled))
		}
	}
	p("\n## What was done\n\n")
	for _, r := range rep.Faults {
		p("- **%s**: %s", r.Fault, r.What)
		if r.Note != "" {
			p(" %s", r.Note)
		}
		p("\n")
	}
	return b.Bytes()
}

// refusals is every answer but 200, with how often it came.
func (r *result) refusals() string {
	var all []string
	for answer, n := range r.Answers {
		if answer != "200" {
			all = append(all, fmt.Sprintf("%d × %s", n, answer))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

func memory() string {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
}
