package synthflow

import (
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

var statuses = map[string]call.Status{
	"busy":                call.StatusBusy,
	"canceled":            call.StatusCanceled, // seen
	"cancelled":           call.StatusCanceled,
	"completed":           call.StatusCompleted, // unless the end reason says voicemail
	"failed":              call.StatusFailed,
	"hangup_on_voicemail": call.StatusVoicemail,
	"in_progress":         call.StatusInProgress, // seen
	"initiated":           call.StatusInProgress,
	"left_voicemail":      call.StatusVoicemail,
	"no_answer":           call.StatusNoAnswer,
	"paused":              call.StatusInProgress,
	"pending":             call.StatusInProgress, // seen
	"queue":               call.StatusInProgress,
}

var endReasons = map[string]call.EndReason{
	"agent_goodbye":          call.EndAgentHangup,
	"custom_end_call":        call.EndCustom,
	"human_goodbye":          call.EndCustomerHangup,
	"human_pick_up_cut_off":  call.EndDropped,
	"max_duration":           call.EndMaxDuration,
	"recovery_unresolved":    call.EndUnknown, // seen
	"undefined":              call.EndUnknown,
	"user_canceled":          call.EndCanceled, // seen
	"voicemail":              call.EndVoicemailDetected,
	"voicemail_message_left": call.EndVoicemailMessageLeft,
}

// freeText are beginnings of the sentences that the help center lists as end reasons.
var freeText = []struct {
	prefix string
	reason call.EndReason
}{
	{"429", call.EndLimitReached},
	{"608", call.EndRejected},
	{"insufficient minutes", call.EndLimitReached},
	{"rejected", call.EndRejected},
}

func endReason(raw string) call.EndReason {
	if r, ok := endReasons[payload.Word(raw)]; ok {
		return r
	}
	text := strings.ToLower(strings.TrimSpace(raw))
	for _, f := range freeText {
		if strings.HasPrefix(text, f.prefix) {
			return f.reason
		}
	}
	return call.EndUnknown
}

// outcome sets what became of the call, and from that the event: ended when the status is terminal. Nothing else is
// safe to call final, as the first ended wins: not even an end reason beside a status that is missing or new to us,
// unless it is one of those that say the status themselves.
func outcome(c *call.Call, root, o *payload.Object) {
	status := o.Text("status")
	switch outer := root.Text("status"); {
	case status == "":
		status = outer
	case outer != "" && payload.Word(outer) != payload.Word(status):
		root.PutBack("status")
		root.Warn("status", "differs from $.call.status, which counts")
	}
	c.StatusRaw = status
	c.EndReasonRaw, c.Error = reasonAndError(root, o, status)
	for _, holder := range []*payload.Object{o, root} { // where it stands is not documented
		if detail := holder.Text("custom_end_call_reason"); c.EndReasonDetail == "" {
			c.EndReasonDetail = detail
		}
	}
	c.EndReason = endReason(c.EndReasonRaw)

	var known bool
	if c.Status, known = statuses[payload.Word(status)]; !known {
		c.Status = call.StatusUnknown
		o.Warn("status", "unknown status")
	}
	if c.Status != call.StatusInProgress {
		switch sent := c.Status; c.EndReason {
		case call.EndVoicemailDetected, call.EndVoicemailMessageLeft:
			c.Status = refined(c, sent, call.StatusVoicemail)
		case call.EndCanceled:
			c.Status = refined(c, sent, call.StatusCanceled)
		}
	}
	if c.EndReason == call.EndUnknown {
		switch c.Status {
		case call.StatusNoAnswer:
			c.EndReason = call.EndNoAnswer
			c.Derived = append(c.Derived, "end_reason")
		case call.StatusBusy:
			c.EndReason = call.EndBusy
			c.Derived = append(c.Derived, "end_reason")
		}
	}
	c.Event = call.Progress
	if c.Status.Terminal() {
		c.Event = call.Ended
	}
	c.IsFinal = c.Event == call.Ended
}

func refined(c *call.Call, sent, by call.Status) call.Status {
	if sent != by {
		c.Derived = append(c.Derived, "status")
	}
	return by
}

// reasonAndError takes the end reason and the error, which two of the documented examples have in each other's place.
func reasonAndError(root, o *payload.Object, status string) (reason, failure string) {
	reason, failure = o.Text("end_call_reason"), root.Text("error_message")
	_, isStatus := statuses[payload.Word(reason)]
	_, isReason := endReasons[payload.Word(failure)]
	said := payload.Word(reason)
	free := isStatus || said == "" || said == "undefined" // there is no end reason in its own place
	switch {
	case isReason && said == payload.Word(failure):
		return reason, ""
	case isReason && isStatus:
		root.Warn("error_message", "holds the end reason, and $.call.end_call_reason a status")
		reason, failure = failure, ""
	case isReason && free:
		root.Warn("error_message", "holds the end reason")
		reason, failure = failure, ""
	case isReason:
		root.PutBack("error_message")
		root.Warn("error_message", "an end reason, but not that of $.call.end_call_reason, which counts")
		return reason, ""
	case free && endReason(failure) != call.EndUnknown:
		reason = failure // a sentence is both
	default:
		return reason, failure
	}
	if said != "" && said != payload.Word(status) { // it says something that no field of the call holds
		o.PutBack("end_call_reason")
	}
	return reason, failure
}

// answeredBy follows from the outcome; the judge's opinion counts only where that says nothing.
func answeredBy(c *call.Call) {
	c.AnsweredBy = call.AnsweredByUnknown
	switch c.Status {
	case call.StatusVoicemail:
		c.AnsweredBy = call.AnsweredByMachine
	case call.StatusNoAnswer, call.StatusBusy, call.StatusFailed:
		c.AnsweredBy = call.AnsweredByNobody
	default:
		switch c.EndReason {
		case call.EndCustomerHangup, call.EndAgentHangup, call.EndDropped:
			c.AnsweredBy = call.AnsweredByHuman
		default:
			if judgedHuman(c.Analysis) {
				c.AnsweredBy = call.AnsweredByHuman
			}
		}
	}
	if c.AnsweredBy != call.AnsweredByUnknown {
		c.Derived = append(c.Derived, "answered_by")
	}
}

func judgedHuman(a *call.Analysis) bool {
	if a == nil {
		return false
	}
	for _, k := range a.Criteria {
		if k.Name == "answered_by_human" {
			return k.Verdict == call.VerdictMet
		}
	}
	return false
}
