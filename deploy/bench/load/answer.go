package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// answer reads HTTP/1.1 answers of a known length. A client of the standard library would take as much CPU as the
// servers that are measured.
type answer struct{ buf []byte }

var (
	headEnd  = []byte("\r\n\r\n")
	lineEnd  = []byte("\r\n")
	lengthIs = []byte("Content-Length")
)

// read reads one answer to its end and returns its status.
func (a *answer) read(r io.Reader) (status int, err error) {
	n := 0
	for {
		if n == len(a.buf) {
			return 0, errors.New("the answer is longer than expected")
		}
		more, err := r.Read(a.buf[n:])
		n += more
		if head := bytes.Index(a.buf[:n], headEnd); head >= 0 {
			status, length, err := parseHead(a.buf[:head])
			if err != nil {
				return 0, err
			}
			end := head + len(headEnd) + length
			if n > end || end > len(a.buf) {
				return 0, fmt.Errorf("the answer has %d bytes, and says %d", n, end)
			}
			if n == end {
				return status, nil
			}
		}
		if err != nil {
			return 0, fmt.Errorf("the connection ended before an answer: %w", err)
		}
	}
}

func parseHead(head []byte) (status, length int, err error) {
	first, rest, _ := bytes.Cut(head, lineEnd)
	if len(first) < len("HTTP/1.1 200") {
		return 0, 0, fmt.Errorf("no answer of HTTP: %q", first)
	}
	if status, err = strconv.Atoi(string(first[len("HTTP/1.1 "):len("HTTP/1.1 200")])); err != nil {
		return 0, 0, fmt.Errorf("no answer of HTTP: %q", first)
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, lineEnd)
		if len(line) > len(lengthIs) && bytes.EqualFold(line[:len(lengthIs)], lengthIs) {
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthIs)+1:])))
			return status, length, err
		}
	}
	return 0, 0, fmt.Errorf("the answer does not say how long it is: %q", head)
}
