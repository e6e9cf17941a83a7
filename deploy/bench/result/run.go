package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Row is one thing that is measured, once in each round.
type Row struct {
	Name        string   `json:"name"`
	Connections int      `json:"connections,omitempty"`
	Body        int      `json:"body_bytes,omitempty"`
	Unit        string   `json:"unit"`
	Note        string   `json:"note,omitempty"`
	Samples     []Sample `json:"samples"`
}

// Run is one run of everything on one machine.
type Run struct {
	Began    time.Time  `json:"began"`
	Took     float64    `json:"took_seconds"`
	Machine  []Fact     `json:"machine"`
	Versions []Fact     `json:"versions"`
	Settings []Fact     `json:"settings"`
	Rows     []*Row     `json:"rows"`
	Bounds   []Standing `json:"bounds"`
}

// Fact is a line about the machine, the versions or the settings.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Bound is what is asked of the figures of a run.
type Bound struct {
	Text    string
	Figure  func(*Run) (float64, error) // an error: a row that it needs was not measured, or is wrong
	AtLeast float64                     // zero: there is an AtMost
	AtMost  float64
}

// Standing is how a run stands to a bound.
type Standing struct {
	Text   string  `json:"text"`
	Bound  string  `json:"bound"`
	Figure float64 `json:"figure"`
	Held   bool    `json:"held"`
	Why    string  `json:"why,omitempty"` // there is no figure
}

// Row is the row of that name, or nil.
func (r *Run) Row(name string) *Row {
	i := slices.IndexFunc(r.Rows, func(row *Row) bool { return row.Name == name })
	if i < 0 {
		return nil
	}
	return r.Rows[i]
}

// Figure is the median over the rounds of what of reads from the samples of a row. It is an error when the row was not
// measured, or any of its samples is wrong.
func (r *Run) Figure(name string, of func(Sample) float64) (float64, error) {
	row := r.Row(name)
	if row == nil || len(row.Samples) == 0 {
		return 0, fmt.Errorf("%q was not measured", name)
	}
	for _, s := range row.Samples {
		if s.Wrong != "" {
			return 0, fmt.Errorf("%q is wrong: %s", name, s.Wrong)
		}
	}
	figure := row.Spread(of).Median
	if math.IsNaN(figure) {
		return 0, fmt.Errorf("%q does not measure this", name)
	}
	return figure, nil
}

// Spread is of what of reads from each of the samples.
func (row *Row) Spread(of func(Sample) float64) Spread {
	var figures []float64
	for _, s := range row.Samples {
		if s.Wrong == "" { // its figures are no figures
			figures = append(figures, of(s))
		}
	}
	return SpreadOf(figures)
}

// Rate reads the rate.
func Rate(s Sample) float64 { return s.Rate }

// P99 reads the 99th percentile of the latency, in milliseconds.
func P99(s Sample) float64 {
	if s.Latency == nil {
		return math.NaN()
	}
	return s.Latency.P99
}

// Resident reads the resident memory of a process, in bytes.
func Resident(process string) func(Sample) float64 {
	return func(s Sample) float64 {
		n, ok := s.Resident[process]
		if !ok {
			return math.NaN()
		}
		return float64(n)
	}
}

// CPUEach reads the CPU time of a process for each of what the row counts, in microseconds.
func CPUEach(process string) func(Sample) float64 {
	return func(s Sample) float64 { return s.CPU[process] / float64(max(s.Count, 1)) * 1e6 }
}

// Ratio is the median rate of one row over that of another.
func Ratio(of, over string) func(*Run) (float64, error) {
	return func(r *Run) (float64, error) {
		a, err := r.Figure(of, Rate)
		if err != nil {
			return 0, err
		}
		b, err := r.Figure(over, Rate)
		if err != nil {
			return 0, err
		}
		if b == 0 {
			return 0, fmt.Errorf("%q is 0", over)
		}
		return a / b, nil
	}
}

// Hold compares the run with bounds.
func (r *Run) Hold(bounds []Bound) {
	r.Bounds = nil
	for _, b := range bounds {
		s := Standing{Text: b.Text, Bound: fmt.Sprintf("≥ %g", b.AtLeast)}
		if b.AtMost != 0 {
			s.Bound = fmt.Sprintf("≤ %g", b.AtMost)
		}
		figure, err := b.Figure(r)
		if err != nil {
			s.Why = err.Error()
		} else {
			s.Figure = figure
			s.Held = figure >= b.AtLeast && figure <= cmp.Or(b.AtMost, math.Inf(1))
		}
		r.Bounds = append(r.Bounds, s)
	}
}
