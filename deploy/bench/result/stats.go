// Package result is what deploy/bench has measured: samples, bounds on them, and the report that says both.
package result

import (
	"math"
	"slices"
	"time"
)

// Sample is one measurement of a row. What a row does not measure is zero.
type Sample struct {
	Rate     float64            `json:"rate"`               // in the row's unit
	Count    int64              `json:"count,omitempty"`    // what the rate counts, in all
	Latency  *Latency           `json:"latency,omitempty"`  // of each of them
	CPU      map[string]float64 `json:"cpu,omitempty"`      // process: CPU seconds while measured
	Busy     float64            `json:"busy,omitempty"`     // cores at work while measured, for whatever process
	Resident map[string]int64   `json:"resident,omitempty"` // process: bytes at the end
	Wrong    string             `json:"wrong,omitempty"`    // why the sample must not be believed
}

// Latency is quantiles of one sample, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
}

// LatencyOf sorts took.
func LatencyOf(took []time.Duration) *Latency {
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	at := func(q float64) float64 { // the nearest rank: the smallest that so many are not above
		rank := int(math.Ceil(q * float64(len(took))))
		return took[max(rank, 1)-1].Seconds() * 1000
	}
	return &Latency{P50: at(.5), P99: at(.99), P999: at(.999)}
}

// Spread is a figure over the rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf is of figures in any order; of none it is zero.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(figures))
	n := len(s)
	return Spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}
