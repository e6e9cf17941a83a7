package call

// Result is what finally became of a call at a sink.
type Result string

// The results.
const (
	ResultDelivered Result = "delivered"
	ResultDead      Result = "dead"    // given up: see the error, and the stream DEAD
	ResultSkipped   Result = "skipped" // the sink's conditions leave it out
)

// Results holds every word.
var Results = []Result{ResultDelivered, ResultDead, ResultSkipped}

// Outcome is what finally became of a call at one sink. A later one for the same sink and call takes its place, as when
// a dead call is redriven.
type Outcome struct {
	Sink     string `json:"sink"` // its name in the configuration
	Provider string `json:"provider"`
	Source   string `json:"source"`
	CallID   string `json:"call_id"`
	Event    Event  `json:"event"`
	Result   Result `json:"result"`
	Attempts int    `json:"attempts"`            // that were made, the last one among them
	VendorID string `json:"vendor_id,omitempty"` // of the record at the vendor
	Note     string `json:"note,omitempty"`      // what an operator should know of a call that was delivered
	Error    string `json:"error,omitempty"`     // the last one
	At       *Time  `json:"at"`
}
