package ingress

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// step is how much of a body is made room for at a time: a large Content-Length alone takes no memory.
const step = 64 << 10

// readBody reads a body of at most in.maxBody bytes within the process's bound on bodies in flight. The caller calls
// release when it is done with the body, also after a problem.
func (in *Ingress) readBody(r *http.Request) (body []byte, release func(), p *problem) {
	var taken int64
	release = func() { in.inFlight.Release(taken) }
	take := func(n int64) *problem {
		if !in.inFlight.TryAcquire(n) {
			return tooMuch()
		}
		taken += n
		return nil
	}
	length := r.ContentLength // -1: unknown
	if length > in.maxBody {
		in.drain(r)
		return nil, release, in.tooLarge()
	}
	size := min(step, in.maxBody+1)
	if length >= 0 {
		size = min(length, step)
	}
	if p := take(size); p != nil {
		return nil, release, p
	}
	buf := make([]byte, 0, size)
	for int64(len(buf)) != length {
		if len(buf) == cap(buf) {
			grow := min(max(step, int64(cap(buf))), in.maxBody+1-int64(len(buf))) // one more than allowed, to see that it is more
			if length >= 0 {
				grow = min(grow, length-int64(len(buf)))
			}
			if p := take(grow); p != nil {
				return nil, release, p
			}
			buf = append(make([]byte, 0, int64(cap(buf))+grow), buf...)
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > in.maxBody {
			in.drain(r)
			return nil, release, in.tooLarge()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, release, newProblem(timedOut, "The body did not arrive in time.")
		}
		if err != nil {
			return nil, release, newProblem(broken, "The body ended before its time or is not well-formed HTTP.")
		}
	}
	if len(buf) == 0 {
		return nil, release, newProblem(empty, "The body is empty.")
	}
	return buf, release, nil
}

// tooMuch is said at once, and often: no line of the log holds a cause.
func tooMuch() *problem {
	return newProblem(overloaded, "Too much is being received at once. Send it again.").retryAfter(time.Second)
}

// drain reads on for a while, into nothing: a sender that is cut off in the middle of its body does not read the
// answer. One that asks before it sends is told at once.
func (in *Ingress) drain(r *http.Request) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, 2*in.maxBody) // the read timeout bounds it too
	}
}
