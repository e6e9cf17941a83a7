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
	"github.com/klauspost/compress/s2"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/schemas"
)

func record(i int, body string) *Delivery {
	return &Delivery{
		ID: fmt.Sprintf("id-%d", i), Provider: "altur", Source: "s", ReceivedAt: time.UnixMilli(1_700_000_000_000).UTC(),
		Auth: call.AuthVerifiedBody, ContentType: "application/json", UserAgent: "altur/1.0", Body: []byte(body),
	}
}

// readEnvelope reads every delivery that can be read, in order.
func readEnvelope(b []byte) []*Delivery {
	var all []*Delivery
	records(b, func(d *Delivery, packed bool) {
		if packed {
			d.Body, _ = s2.Decode(nil, d.Body)
		}
		all = append(all, d)
	})
	return all
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

// noHolder is what settles messages that came from nowhere.
type noHolder struct{}

func (noHolder) Ack() error        { return nil }
func (noHolder) Nak() error        { return nil }
func (noHolder) InProgress() error { return nil }

// A sender's body can hold what looks like a record, of another source and with a better proof. While the record around it
// is damaged, it came out in that one's place, and the count was right: nothing was buried.
func TestARecordWithinADamagedRecordIsNoDelivery(t *testing.T) {
	t.Parallel()
	forged := record(9, "forged")
	forged.Source = "victim"
	b := envelopeOf(record(1, "a"), record(2, string(AppendRecord(nil, forged))), record(3, "c"))
	at := len(envelopeOf(record(1, "a"))) + recordHead + 3 // in the second's id
	b[at] ^= 1
	m := Message{data: b, header: map[string][]string{headerEnvelope: {envelopeVersion}}} // the header that counts them is lost
	msgs := m.open(noHolder{})
	if len(msgs) != 3 {
		t.Fatalf("%d messages", len(msgs))
	}
	for i, id := range []string{"id-1", "id-3"} {
		if d, err := msgs[i].Delivery(t.Context()); err != nil || d.ID != id {
			t.Errorf("%v %+v", err, d)
		}
	}
	if _, err := msgs[2].Delivery(t.Context()); err == nil {
		t.Error("what is damaged is not kept")
	}
}

// What many small records unpack to must not be in memory before it is asked for.
func TestRecordsAreUnpackedWhenTheyAreRead(t *testing.T) {
	t.Parallel()
	d := record(1, strings.Repeat(" ", 16<<20))
	m := Message{data: envelopeOf(d, d, d), header: map[string][]string{headerEnvelope: {envelopeVersion}, headerDeliveries: {"3"}}}
	msgs := m.open(noHolder{})
	if len(msgs) != 3 || len(msgs[0].data) > 4<<20 || msgs[0].Size() != 16<<20 {
		t.Fatalf("%d messages, of %d bytes that are %d", len(msgs), len(msgs[0].data), msgs[0].Size())
	}
	if got, err := msgs[2].Delivery(t.Context()); err != nil || len(got.Body) != 16<<20 {
		t.Errorf("%v", err)
	}
}
