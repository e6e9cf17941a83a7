//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The verdicts hang on compare: it must see each thing that can be wrong.
func TestCompareSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	l := &load{author: newAuthor(t), calls: make([]sentCall, 3)}
	var right []row
	for n := range l.calls {
		l.calls[n] = sentCall{hash: sha256.Sum256(l.author.body(n)), acked: n < 2}
		right = append(right, row{l.author.provider(n).Name, l.author.id(n), hex.EncodeToString(l.calls[n].hash[:])})
	}
	for _, tt := range []struct {
		name string
		rows []row
		want result
	}{
		{"all is right", right[:2], result{Stored: 2}},
		{"what got no 200 is stored", right, result{Stored: 3, Unacknowledged: 1}},
		{"missing", right[1:2], result{Stored: 1, Missing: 1}},
		{"doubled", append(right[:2:2], right[0]), result{Stored: 3, Doubled: 1}},
		{"other content", []row{right[0], {right[1].provider, right[1].id, right[0].hash}}, result{Stored: 2, WrongHash: 1}},
		{"of another provider", []row{right[0], {right[0].provider, right[1].id, right[1].hash}}, result{Stored: 2, WrongHash: 1}},
		{"never sent", append(right[:2:2], row{"altur", "another", ""}), result{Stored: 3, Foreign: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := result{Answers: map[string]int{}}
			r.compare(l, tt.rows)
			if r.Stored != tt.want.Stored || r.Unacknowledged != tt.want.Unacknowledged || r.Missing != tt.want.Missing ||
				r.Doubled != tt.want.Doubled || r.WrongHash != tt.want.WrongHash || r.Foreign != tt.want.Foreign || r.Acked != 2 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A body is the same whenever it is made, decodes to its call, and another one's is another.
func TestBodies(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	least, most := mostBody, 0
	seen := map[[sha256.Size]byte]bool{}
	for n := range 2 * texts {
		body := a.body(n)
		c, err := a.provider(n).Call("source", body)
		if err != nil || c.CallID != a.id(n) || len(c.Warnings) > 0 {
			t.Fatalf("call %d: %v, %+v", n, err, c)
		}
		if !c.IsFinal {
			t.Fatalf("call %d has not ended", n)
		}
		sum := sha256.Sum256(body)
		if seen[sum] || sum != sha256.Sum256(a.body(n)) {
			t.Fatalf("the body of call %d is not its own", n)
		}
		seen[sum] = true
		least, most = min(least, len(body)), max(most, len(body))
	}
	if least > 2*leastBody || most < mostBody/2 || most > mostBody+mostBody/10 {
		t.Errorf("bodies are of %d to %d bytes", least, most)
	}
}
