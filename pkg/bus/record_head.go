package bus

import "github.com/klauspost/compress/s2"

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
	d, packed, length, err := readPacked(b)
	if err != nil {
		return h, err
	}
	h = RecordHead{Delivery: *d, BodySize: int64(len(d.Body)), Packed: packed, Length: length}
	if packed {
		n, _ := s2.DecodedLen(d.Body) // readPacked has asked
		h.BodySize = int64(n)
	}
	h.Body = nil
	return h, nil
}
