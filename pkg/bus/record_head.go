package bus

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/onhook/onhook/pkg/call"
)

// RecordHead is a record without its body.
type RecordHead struct {
	Delivery       // Body is nil
	BodySize int64 // in bytes, once it is decoded
	Packed   bool  // the body is compressed
	Length   int   // of the record, in bytes
}

// ReadRecordHead reads the record that begins at b and checks all its bytes, but decodes no body: one of MaxBody may
// lie in a few KiB.
func ReadRecordHead(b []byte) (h RecordHead, err error) {
	if len(b) < recordHead || [4]byte(b) != marker {
		return h, errDamaged
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n < 1 || n > len(b)-recordHead {
		return h, errDamaged
	}
	content := b[recordHead : recordHead+n]
	if crc32.Checksum(content, castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return h, errDamaged
	}
	flags, rest := content[0], content[1:]
	var fields [7]string
	for i := range fields {
		size, w := binary.Uvarint(rest)
		if w <= 0 || size > uint64(len(rest)-w) {
			return h, errDamaged
		}
		fields[i], rest = string(rest[w:w+int(size)]), rest[w+int(size):]
	}
	at, err := time.Parse(time.RFC3339, fields[3])
	if err != nil {
		return h, errDamaged
	}
	h = RecordHead{BodySize: int64(len(rest)), Packed: flags&flagS2 != 0, Length: recordHead + n}
	if h.Packed {
		n, err := s2.DecodedLen(rest)
		if err != nil || n > MaxBody {
			return h, errDamaged
		}
		h.BodySize = int64(n)
	}
	h.Delivery = Delivery{
		ID: fields[0], Provider: fields[1], Source: fields[2], ReceivedAt: at, Auth: call.Auth(fields[4]),
		ContentType: fields[5], UserAgent: fields[6],
	}
	return h, nil
}
