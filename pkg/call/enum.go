package call

import "slices"

// Event is what a delivery says about its call.
type Event string

// The events.
const (
	Ended    Event = "ended"    // final
	Progress Event = "progress" // not final yet
)

// Auth is how far the sender of a delivery is proven. A sink can ask for a minimum; see AtLeast.
type Auth string

// The proofs, strongest first.
const (
	AuthVerifiedBody   Auth = "verified_body"    // a signature over the whole body
	AuthVerifiedIDOnly Auth = "verified_id_only" // a signature over the call id alone
	AuthToken          Auth = "token"            // a secret in the URL
	AuthNone           Auth = "none"
)

// AtLeast reports whether a proves no less than least. What is not known proves nothing.
func (a Auth) AtLeast(least Auth) bool {
	at := func(a Auth) int {
		if i := slices.Index(Auths, a); i >= 0 {
			return i
		}
		return len(Auths)
	}
	return at(a) <= at(least)
}

// Direction is who called whom.
type Direction string

// The directions.
const (
	DirectionInbound  Direction = "inbound"
	DirectionOutbound Direction = "outbound"
	DirectionWeb      Direction = "web"
	DirectionUnknown  Direction = "unknown"
)

// Status is how the call ended, or that it has not.
type Status string

// The statuses. All but in_progress and unknown are terminal.
const (
	StatusCompleted  Status = "completed"
	StatusVoicemail  Status = "voicemail" // connected to a machine
	StatusNoAnswer   Status = "no_answer"
	StatusBusy       Status = "busy"
	StatusFailed     Status = "failed"
	StatusCanceled   Status = "canceled"
	StatusInProgress Status = "in_progress"
	StatusUnknown    Status = "unknown"
)

// Terminal reports whether the call is over.
func (s Status) Terminal() bool { return s != StatusInProgress && s != StatusUnknown }

// EndReason is why the call ended.
type EndReason string

// The end reasons.
const (
	EndCustomerHangup       EndReason = "customer_hangup"
	EndAgentHangup          EndReason = "agent_hangup"
	EndDropped              EndReason = "dropped"
	EndTransferred          EndReason = "transferred"
	EndVoicemailDetected    EndReason = "voicemail_detected"
	EndVoicemailMessageLeft EndReason = "voicemail_message_left"
	EndMaxDuration          EndReason = "max_duration"
	EndSilenceTimeout       EndReason = "silence_timeout"
	EndNoAnswer             EndReason = "no_answer"
	EndBusy                 EndReason = "busy"
	EndRejected             EndReason = "rejected"
	EndInvalidNumber        EndReason = "invalid_number"
	EndLimitReached         EndReason = "limit_reached"
	EndPlatformError        EndReason = "platform_error"
	EndCarrierError         EndReason = "carrier_error"
	EndCanceled             EndReason = "canceled"
	EndCustom               EndReason = "custom"
	EndUnknown              EndReason = "unknown"
)

// AnsweredBy is what picked the call up.
type AnsweredBy string

// The answerers.
const (
	AnsweredByHuman   AnsweredBy = "human"
	AnsweredByMachine AnsweredBy = "machine"
	AnsweredByNobody  AnsweredBy = "nobody"
	AnsweredByUnknown AnsweredBy = "unknown"
)

// TranscriptForm is how the transcript was sent.
type TranscriptForm string

// The transcript forms.
const (
	TranscriptTurns TranscriptForm = "turns"
	TranscriptText  TranscriptForm = "text"
	TranscriptURI   TranscriptForm = "uri"
	TranscriptNone  TranscriptForm = "none"
)

// Role is who spoke a turn.
type Role string

// The roles.
const (
	RoleAgent    Role = "agent"
	RoleCustomer Role = "customer"
	RoleSystem   Role = "system"
	RoleTool     Role = "tool"
	RoleUnknown  Role = "unknown"
)

// Access is what it takes to fetch a recording.
type Access string

// The kinds of access.
const (
	AccessPublic    Access = "public"
	AccessAPIKey    Access = "api_key"
	AccessPresigned Access = "presigned"
	AccessUnknown   Access = "unknown"
)

// Verdict is the answer to a criterion.
type Verdict string

// The verdicts.
const (
	VerdictMet           Verdict = "met"
	VerdictNotMet        Verdict = "not_met"
	VerdictPartial       Verdict = "partial"
	VerdictNotApplicable Verdict = "not_applicable"
	VerdictUnknown       Verdict = "unknown"
)

// Each list holds an enum's every word, in the order of the schema.
var (
	Events          = []Event{Ended, Progress}
	Auths           = []Auth{AuthVerifiedBody, AuthVerifiedIDOnly, AuthToken, AuthNone}
	Directions      = []Direction{DirectionInbound, DirectionOutbound, DirectionWeb, DirectionUnknown}
	Statuses        = []Status{StatusCompleted, StatusVoicemail, StatusNoAnswer, StatusBusy, StatusFailed, StatusCanceled, StatusInProgress, StatusUnknown}
	EndReasons      = []EndReason{EndCustomerHangup, EndAgentHangup, EndDropped, EndTransferred, EndVoicemailDetected, EndVoicemailMessageLeft, EndMaxDuration, EndSilenceTimeout, EndNoAnswer, EndBusy, EndRejected, EndInvalidNumber, EndLimitReached, EndPlatformError, EndCarrierError, EndCanceled, EndCustom, EndUnknown}
	AnsweredBys     = []AnsweredBy{AnsweredByHuman, AnsweredByMachine, AnsweredByNobody, AnsweredByUnknown}
	TranscriptForms = []TranscriptForm{TranscriptTurns, TranscriptText, TranscriptURI, TranscriptNone}
	Roles           = []Role{RoleAgent, RoleCustomer, RoleSystem, RoleTool, RoleUnknown}
	Accesses        = []Access{AccessPublic, AccessAPIKey, AccessPresigned, AccessUnknown}
	Verdicts        = []Verdict{VerdictMet, VerdictNotMet, VerdictPartial, VerdictNotApplicable, VerdictUnknown}
)
