package result

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 10, 1, 2}, Spread{3, 1, 10}},
	} {
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("%v: %v, want %v", c.figures, got, c.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for i := range 1000 {
		took = append(took, time.Duration(1000-i)*time.Millisecond)
	}
	if got, want := *LatencyOf(took), (Latency{500, 990, 999}); got != want {
		t.Errorf("of 1 to 1,000 ms: %v, want %v", got, want)
	}
	if got, want := *LatencyOf([]time.Duration{time.Second}), (Latency{1000, 1000, 1000}); got != want {
		t.Errorf("of one second: %v, want %v", got, want)
	}
	if LatencyOf(nil) != nil {
		t.Error("of nothing there is a latency")
	}
}

// sampleRun is a run in which "slow" is a quarter of "fast", and "lossy" lost something.
func sampleRun() *Run {
	samples := func(rates ...float64) (all []Sample) {
		for _, r := range rates {
			all = append(all, Sample{Rate: r, Count: 2000, Latency: &Latency{1, 2, 3}, CPU: map[string]float64{"a": .5, "b": 1.5}, Busy: 1.5, Resident: map[string]int64{"a": 64e6}})
		}
		return all
	}
	lossy := samples(100, 100)
	lossy[1].Wrong = "3 of 100 are not in the stream"
	return &Run{
		Began: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Machine: []Fact{{"CPU", "a|b"}},
		Rows: []*Row{
			{Name: "fast", Unit: "acks/s", Connections: 256, Body: 2048, Samples: samples(900, 1000, 1100)},
			{Name: "slow", Unit: "acks/s", Samples: samples(250, 250, 10)},
			{Name: "lossy", Unit: "acks/s", Samples: lossy},
			{Name: "left out", Unit: "acks/s"},
			{Name: "bare", Unit: "acks/s", Samples: []Sample{{Rate: 0}}},
		},
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	figure := func(row string, of func(Sample) float64) func(*Run) (float64, error) {
		return func(r *Run) (float64, error) { return r.Figure(row, of) }
	}
	for _, c := range []struct {
		bound  Bound
		figure float64
		held   bool
		why    string
	}{
		{Bound{Figure: Ratio("slow", "fast"), AtLeast: .25}, .25, true, ""},
		{Bound{Figure: Ratio("slow", "fast"), AtLeast: .26}, .25, false, ""},
		{Bound{Figure: figure("fast", P99), AtMost: 2}, 2, true, ""},
		{Bound{Figure: figure("fast", P99), AtMost: 1.9}, 2, false, ""},
		{Bound{Figure: figure("fast", Resident("a")), AtMost: 80e6}, 64e6, true, ""},
		{Bound{Figure: figure("fast", CPUEach("b")), AtMost: 750}, 750, true, ""},
		{Bound{Figure: Ratio("lossy", "fast"), AtLeast: .1}, 0, false, "not in the stream"},
		{Bound{Figure: Ratio("fast", "left out"), AtLeast: .1}, 0, false, "was not measured"},
		{Bound{Figure: Ratio("fast", "no such row"), AtLeast: .1}, 0, false, "was not measured"},
		{Bound{Figure: Ratio("fast", "bare"), AtLeast: .1}, 0, false, "is 0"},
		{Bound{Figure: figure("bare", P99), AtMost: 1}, 0, false, "does not measure"},
		{Bound{Figure: figure("fast", Resident("c")), AtMost: 1}, 0, false, "does not measure"},
	} {
		r := sampleRun()
		r.Hold([]Bound{c.bound})
		got := r.Bounds[0]
		if math.Abs(got.Figure-c.figure) > 1e-9 || got.Held != c.held || !strings.Contains(got.Why, c.why) || (c.why == "") != (got.Why == "") {
			t.Errorf("%+v, want %v, held %v, why %q", got, c.figure, c.held, c.why)
		}
	}
}

// What is lost, missed or left out stands in the report as plainly as what is won.
func TestReport(t *testing.T) {
	t.Parallel()
	r := sampleRun()
	r.Hold([]Bound{
		{Text: "slow ÷ fast", Figure: Ratio("slow", "fast"), AtLeast: .2},
		{Text: "slow ÷ fast, twice", Figure: Ratio("slow", "fast"), AtLeast: .5},
		{Text: "lossy ÷ fast", Figure: Ratio("lossy", "fast"), AtLeast: .1},
	})
	dir := filepath.Join(t.TempDir(), "not", "there")
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	report := string(data)
	at := 0
	for _, want := range []string{
		"on 2026-03-01 12:00 UTC",
		"## Machine", `| CPU | a\|b |`, "## Versions", "## Settings",
		"| slow ÷ fast | ≥ 0.2 | 0.25 | held |",
		"| slow ÷ fast, twice | ≥ 0.5 | 0.25 | **not held** |",
		`| lossy ÷ fast | ≥ 0.1 | | no figure: "lossy" is wrong: 3 of 100 are not in the stream |`,
		"| fast | 256 | 2 KiB | 1000 | 900 | 1100 | acks/s | 1.00 | 2.00 | 3.00 | 1.5 | a 250 | a 61 MiB |  |",
		"**wrong**: 3 of 100 are not in the stream",
		"| left out | | | not measured |",
	} {
		i := strings.Index(report[at:], want)
		if i < 0 {
			t.Fatalf("there is no %q after the first %d bytes of\n%s", want, at, report)
		}
		at += i
	}
	if _, err := os.Stat(filepath.Join(dir, "results.json")); err != nil {
		t.Error(err)
	}
}
