package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/onhook/onhook/pkg/call"
)

// An envelope is one message that holds several deliveries, so that one fsync makes all of them durable. Version 1 is a
// row of records, each of which can be found and read without the others:
//
//	marker   4 bytes  A5 4F 48 01
//	length   uint32   of the content, little-endian
//	checksum uint32   CRC-32C of the content, little-endian
//	content           flags (1 byte: 1 = the body is an S2 block), then seven strings, each a uvarint length and its
//	                  bytes: id, provider, source, received_at (RFC 3339), auth, content type, user agent; then the body
//
// A reader that meets damage looks for the next marker whose record checks out. A flag or a string more is another version:
// readers of this one would pass over it.
const (
	envelopeVersion = "1"
	recordHead      = 12
	recordRoom      = 256 // bytes that a record usually takes beside its body
	flagS2          = 1

	maxDeliveries = 256
	maxEnvelope   = 512 << 10 // bytes; one delivery may be larger
	compressAbove = 4 << 10
)

var (
	marker     = [4]byte{0xA5, 'O', 'H', 1}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// AppendRecord appends d to b as an envelope's record, which is how a delivery is kept on disk too.
func AppendRecord(b []byte, d *Delivery) []byte {
	at, room := len(b), len(d.Body)
	if room > compressAbove {
		room = min(s2.MaxEncodedLen(room), spareRecord-recordRoom)
	}
	b = slices.Grow(b, recordRoom+room)
	b = append(b, marker[:]...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, 0)
	for _, s := range []string{d.ID, d.Provider, d.Source, call.At(d.ReceivedAt).String(), string(d.Auth), printable(d.ContentType), printable(d.UserAgent)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	if len(d.Body) > compressAbove {
		b[at+recordHead] = flagS2
		b = append(b, s2.Encode(b[len(b):cap(b)], d.Body)...) // in its place already, where there is room
	} else {
		b = append(b, d.Body...)
	}
	content := b[at+recordHead:]
	binary.LittleEndian.PutUint32(b[at+4:], uint32(len(content)))
	binary.LittleEndian.PutUint32(b[at+8:], crc32.Checksum(content, castagnoli))
	return b
}

var errDamaged = errors.New("the record is damaged")

// ReadRecord reads the record that begins at b, and says how long it is in bytes.
func ReadRecord(b []byte) (d *Delivery, length int, err error) {
	d, packed, length, err := readPacked(b)
	if err == nil && packed {
		if d.Body, err = s2.Decode(nil, d.Body); err != nil {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return d, length, nil
}

// readPacked is ReadRecord, but leaves the body packed where it is: an S2 block of a body that is no larger than MaxBody.
func readPacked(b []byte) (d *Delivery, packed bool, length int, err error) {
	if len(b) < recordHead || [4]byte(b) != marker {
		return nil, false, 0, errDamaged
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n < 1 || n > len(b)-recordHead {
		return nil, false, 0, errDamaged
	}
	content := b[recordHead : recordHead+n]
	if crc32.Checksum(content, castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return nil, false, 0, errDamaged
	}
	flags, rest := content[0], content[1:]
	var fields [7]string
	for i := range fields {
		size, w := binary.Uvarint(rest)
		if w <= 0 || size > uint64(len(rest)-w) {
			return nil, false, 0, errDamaged
		}
		fields[i], rest = string(rest[w:w+int(size)]), rest[w+int(size):]
	}
	at, err := time.Parse(time.RFC3339, fields[3])
	if err != nil {
		return nil, false, 0, errDamaged
	}
	packed = flags&flagS2 != 0
	if n, err := s2.DecodedLen(rest); packed && (err != nil || n > MaxBody) {
		return nil, false, 0, errDamaged
	}
	return &Delivery{
		ID: fields[0], Provider: fields[1], Source: fields[2], ReceivedAt: at, Auth: call.Auth(fields[4]),
		ContentType: fields[5], UserAgent: fields[6], Body: rest,
	}, packed, recordHead + n, nil
}

// records walks over every record that can be read, in order, and reports whether there is damage besides. What looks like
// a record within a damaged one is somebody's body: where the damaged one's length still leads to the next, it is passed over.
func records(b []byte, yield func(d *Delivery, packed bool)) (damaged bool) {
	for len(b) > 0 {
		d, packed, n, err := readPacked(b)
		if err != nil {
			damaged = true
			b = b[skip(b):]
			continue
		}
		yield(d, packed)
		b = b[n:]
	}
	return damaged
}

// skip is how far to go from a place where no record can be read.
func skip(b []byte) int {
	if len(b) < recordHead || [4]byte(b) != marker {
		return 1
	}
	n := recordHead + int(binary.LittleEndian.Uint32(b[4:]))
	if n == len(b) || n <= len(b)-recordHead && [4]byte(b[n:]) == marker {
		return n
	}
	return 1
}

// open makes a message of each delivery of the envelope m. When some of it cannot be read, the envelope itself comes
// last, as a message that is no delivery: its worker buries it, and what is left of them is kept.
func (m Message) open(raw holder) []*Message {
	want, _ := strconv.Atoi(m.header.Get(headerDeliveries)) // unreadable: nothing to compare with
	traces := tracesFrom(m.header)
	var msgs []*Message
	damaged := records(m.data, func(d *Delivery, packed bool) {
		d.Trace = traces[d.ID]
		one := m
		one.Trace = d.Trace
		one.Origin.Index = len(msgs) + 1
		one.header = d.header()
		one.data, one.packed = d.Body, packed
		one.id += "-" + strconv.Itoa(one.Origin.Index)
		msgs = append(msgs, &one)
	})
	if damaged || len(msgs) < want || len(msgs) == 0 {
		msgs = append(msgs, &m)
	}
	e := &envelope{raw: raw, left: len(msgs)}
	for _, one := range msgs {
		one.holder = e
	}
	return msgs
}

// envelope is what the broker hears of several messages: it is acked once each of them is, and handed back once none
// is in hand when any of them was handed back. Those that were done then come again, which is harmless.
type envelope struct {
	raw holder

	mu   sync.Mutex
	left int
	back bool
}

// Ack settles one of the messages.
func (e *envelope) Ack() error { return e.settle(false) }

// Nak hands one of the messages back.
func (e *envelope) Nak() error { return e.settle(true) }

// InProgress keeps them all.
func (e *envelope) InProgress() error { return e.raw.InProgress() }

func (e *envelope) settle(back bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left--
	e.back = e.back || back
	switch {
	case e.left > 0:
		return nil
	case e.back:
		return e.raw.Nak()
	default:
		return e.raw.Ack()
	}
}
