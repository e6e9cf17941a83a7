package process

import (
	"errors"
	"os"
	"slices"
	"testing"
)

func TestUsageIsReadWhateverTheProgramIsCalled(t *testing.T) {
	t.Parallel()
	stat := "17 (a) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 1234 66 0 0 20 0 8 0 99 1000 200 18446744073709551615\n"
	got, err := parse([]byte(stat), []byte("Name:\ta\nVmRSS:\t    1024 kB\nThreads:\t8\n"))
	if want := (Usage{CPU: 13, Resident: 1 << 20}); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	for _, c := range [][2]string{{"", "VmRSS: 1 kB\n"}, {stat, "Name:\ta\n"}, {"17 (a) S 1", "VmRSS: 1 kB\n"}} {
		if got, err := parse([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%q: %+v", c, got)
		}
	}
}

func TestDivisionOfTheCPUs(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]CPUs{
		1: {}, 2: {}, 3: {},
		4: {[]int{0, 1, 2}, []int{3}},
		6: {[]int{0, 1, 2, 3}, []int{4, 5}},
	} {
		if got := divide(n); !slices.Equal(got.Programs, want.Programs) || !slices.Equal(got.Loader, want.Loader) {
			t.Errorf("of %d: %v, want %v", n, got, want)
		}
	}
}

// A process that ends while it is waited for says so at once, with what it said.
func TestAProcessThatEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := Start("sh", dir, "/bin/sh", "-c", "echo no such address >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	err = p.Await(t.Context(), "nothing", func() error { return errors.New("not yet") })
	if err == nil || p.Tail() != "no such address" {
		t.Errorf("%v; %q", err, p.Tail())
	}
	if _, err := p.Usage(); err == nil {
		t.Error("it is used still")
	}
	p.Stop()
	if _, err := os.Stat(dir + "/sh.log"); err != nil {
		t.Error(err)
	}
}
