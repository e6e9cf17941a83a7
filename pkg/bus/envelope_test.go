package bus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/schemas"
)

func record(i int, body string) *Delivery {
	return &Delivery{
		ID: fmt.Sprintf("id-%d", i), Provider: "altur", Source: "s", ReceivedAt: time.UnixMilli(1_700_000_000_000).UTC(),
		Auth: call.AuthVerifiedBody, ContentType: "application/json", UserAgent: "altur/1.0", Body: []byte(body),
	}
}

func envelopeOf(ds ...*Delivery) []byte {
	var b []byte
	for _, d := range ds {
		b = AppendRecord(b, d)
	}
	return b
}

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	want := []*Delivery{record(1, ""), record(2, "{}"), record(3, strings.Repeat("compressible ", 10_000)), record(4, string(marker[:])+"\x00\xff"), {ReceivedAt: time.UnixMilli(0).UTC(), Body: []byte{}}}
	b := envelopeOf(want...)
	if len(b) > 20_000 {
		t.Errorf("%d bytes: a large body is not compressed", len(b))
	}
	got := readEnvelope(b)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Whatever single byte is damaged, at most the record around it is lost.
func TestADamagedEnvelopeLosesNoneOfItsReadableDeliveries(t *testing.T) {
	t.Parallel()
	want := []*Delivery{record(1, "first"), record(2, strings.Repeat("second ", 1000)), record(3, "third")}
	whole := envelopeOf(want...)
	starts := []int{0, len(envelopeOf(want[0])), len(envelopeOf(want[:2]...)), len(whole)}
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x5a
		var ids []string
		for _, d := range readEnvelope(damaged) {
			ids = append(ids, d.ID)
		}
		hit, _ := slices.BinarySearch(starts, at+1)
		for i, d := range want {
			if i != hit-1 && !slices.Contains(ids, d.ID) {
				t.Fatalf("byte %d of record %d damaged: record %d is lost too; read %q", at, hit, i+1, ids)
			}
		}
	}
	for cut := range whole {
		got := readEnvelope(whole[:cut])
		for i, d := range want {
			if starts[i+1] <= cut && !slices.ContainsFunc(got, func(g *Delivery) bool { return g.ID == d.ID }) {
				t.Fatalf("cut at byte %d: record %d is lost", cut, i+1)
			}
		}
	}
}

// An envelope comes from a disk: whatever it holds, reading it ends, and what it yields was checked.
func FuzzReadEnvelope(f *testing.F) {
	f.Add([]byte{})
	f.Add(envelopeOf(record(1, "a"), record(2, strings.Repeat("b", 5000))))
	f.Add(append(marker[:], 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1))
	content := []byte{flagS2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f} // an S2 block that says it is of 4 GiB
	b := binary.LittleEndian.AppendUint32(marker[:], uint32(len(content)))
	f.Add(append(binary.LittleEndian.AppendUint32(b, crc32.Checksum(content, castagnoli)), content...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, d := range readEnvelope(b) {
			again := readEnvelope(AppendRecord(nil, d))
			if len(again) != 1 || again[0].ID != d.ID || !bytes.Equal(again[0].Body, d.Body) {
				t.Fatalf("%+v is not read back", d)
			}
		}
	})
}

// The paper that others write envelopes by says the same as the code.
func TestTheEnvelopeIsAsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := schemas.FS.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Envelope struct {
			Version         string `yaml:"version"`
			MostDeliveries  int    `yaml:"most_deliveries"`
			MostBytes       int    `yaml:"most_bytes"`
			CompressedAbove int    `yaml:"compressed_above"`
		} `yaml:"x-envelope"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	e := doc.Envelope
	if e.Version != envelopeVersion || e.MostDeliveries != maxDeliveries || e.MostBytes != maxEnvelope || e.CompressedAbove != compressAbove {
		t.Errorf("documented: %+v", e)
	}
	if !strings.Contains(string(raw), fmt.Sprintf("% X", marker)) {
		t.Errorf("the marker % X is not documented", marker)
	}
}

// A PubAck was lost, and the first delivery goes out again in a group as large, but with others: under the same id the
// server would take it for the group that it has, and answer for deliveries that it never saw.
func TestAGroupThatIsTriedAgainInOtherCompanyHasAnotherID(t *testing.T) {
	t.Parallel()
	var c committer
	group := func(ids ...int) []*waiting {
		var g []*waiting
		for _, i := range ids {
			g = append(g, &waiting{d: record(i, "{}")})
		}
		return g
	}
	_, first := c.message(group(1, 2, 3))
	_, again := c.message(group(1, 2, 3))
	_, other := c.message(group(1, 4, 5))
	if first != again || first == other {
		t.Errorf("%s, again %s, with others %s", first, again, other)
	}
}
