package result

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write writes RESULTS.md and results.json into dir.
func (r *Run) Write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	var b strings.Builder
	r.Report(&b)
	for name, content := range map[string][]byte{"results.json": append(data, '\n'), "RESULTS.md": []byte(b.String())} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // for everybody to read
			return err
		}
	}
	return nil
}

// Report writes the run as Markdown: where it ran, how it stands to the bounds, then every row.
func (r *Run) Report(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("# As fast as the machine allows\n")
	p("Written by `make bench` on %s, in %.0f minutes. Compare figures of one run only.\n",
		r.Began.UTC().Format("2006-01-02 15:04 UTC"), r.Took/60)
	for _, part := range []struct {
		title string
		facts []Fact
	}{{"Machine", r.Machine}, {"Versions", r.Versions}, {"Settings", r.Settings}} {
		p("## %s\n\n| | |\n|---|---|", part.title)
		for _, f := range part.facts {
			p("| %s | %s |", cell(f.Name), cell(f.Value))
		}
		p("")
	}
	p("## Bounds\n\n| what | bound | figure | |\n|---|---|--:|---|")
	for _, b := range r.Bounds {
		switch {
		case b.Why != "":
			p("| %s | %s | | no figure: %s |", cell(b.Text), b.Bound, cell(b.Why))
		case b.Held:
			p("| %s | %s | %.3g | held |", cell(b.Text), b.Bound, b.Figure)
		default:
			p("| %s | %s | %.3g | **not held** |", cell(b.Text), b.Bound, b.Figure)
		}
	}
	p("\n## Rows\n")
	p("The rate is the median of the rounds, then the least and the most. Latencies are medians of each round's quantile; in an open loop")
	p("they are from when a request was due, in others from when it was sent, which says little of what a caller sees. Busy is how many")
	p("cores worked, for whatever process: where it is all of them, that is the limit. CPU is what each process takes")
	p("for one, and memory what it has resident at the end, at most in any round; the loader and PostgreSQL are in neither.\n")
	p("| row | connections | body | rate | min | max | unit | p50 ms | p99 ms | p99.9 ms | busy | CPU µs each | memory | |")
	p("|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|---|---|---|")
	for _, row := range r.Rows {
		p("%s", row.line())
	}
}

func (row *Row) line() string {
	if len(row.Samples) == 0 {
		return fmt.Sprintf("| %s | | | not measured | | | %s | | | | | | | %s |", cell(row.Name), cell(row.Unit), cell(row.Note))
	}
	rate := row.Spread(Rate)
	cells := []string{cell(row.Name), count(row.Connections), size(int64(row.Body)), figure(rate.Median), figure(rate.Min), figure(rate.Max), cell(row.Unit)}
	if row.Samples[0].Latency == nil {
		cells = append(cells, "", "", "")
	} else {
		for _, of := range []func(*Latency) float64{
			func(l *Latency) float64 { return l.P50 }, func(l *Latency) float64 { return l.P99 }, func(l *Latency) float64 { return l.P999 },
		} {
			cells = append(cells, fmt.Sprintf("%.2f", row.Spread(func(s Sample) float64 {
				if s.Latency == nil {
					return 0
				}
				return of(s.Latency)
			}).Median))
		}
	}
	busy := ""
	if row.Samples[0].Busy > 0 {
		busy = figure(row.Spread(func(s Sample) float64 { return s.Busy }).Median)
	}
	most := map[string]int64{}
	for _, s := range row.Samples {
		for name, n := range s.Resident {
			most[name] = max(most[name], n)
		}
	}
	var cpu, memory []string
	for _, name := range slices.Sorted(maps.Keys(most)) {
		memory = append(memory, name+" "+size(most[name]))
		if row.Samples[0].Count > 0 {
			cpu = append(cpu, fmt.Sprintf("%s %.0f", name, row.Spread(CPUEach(name)).Median))
		}
	}
	notes := row.wrong()
	if row.Note != "" {
		notes = append(notes, row.Note)
	}
	return "| " + strings.Join(append(cells, busy, cell(strings.Join(cpu, ", ")), cell(strings.Join(memory, ", ")), cell(strings.Join(notes, "; "))), " | ") + " |"
}

// wrong is what is wrong with the samples, each thing once.
func (row *Row) wrong() []string {
	var all []string
	for _, s := range row.Samples {
		if s.Wrong != "" && !slices.Contains(all, "**wrong**: "+s.Wrong) {
			all = append(all, "**wrong**: "+s.Wrong)
		}
	}
	return all
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ")
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// figure writes a number with as many places as it is worth.
func figure(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 1:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.3g", f)
	}
}

func size(n int64) string {
	switch {
	case n == 0:
		return ""
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}
