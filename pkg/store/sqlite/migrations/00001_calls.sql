-- +goose Up
-- Times are RFC 3339 in UTC with milliseconds, so that they sort as text; JSON is text.
CREATE TABLE calls (
	provider             TEXT NOT NULL,
	source               TEXT NOT NULL,
	call_id              TEXT NOT NULL, -- cleaned: with its SHA-256, the whole id is in record
	event                TEXT NOT NULL CHECK (event IN ('ended', 'progress')),
	key                  TEXT NOT NULL,
	status               TEXT NOT NULL,
	direction            TEXT NOT NULL,
	end_reason           TEXT NOT NULL,
	answered_by          TEXT NOT NULL,
	auth                 TEXT,
	delivery_id          TEXT,
	customer_phone       TEXT, -- E.164 if it is known, else as sent
	customer_phone_raw   TEXT, -- as sent, where that is not the same
	from_phone           TEXT,
	to_phone             TEXT,
	customer_name        TEXT,
	customer_external_id TEXT,
	agent_id             TEXT,
	created_at           TEXT,
	started_at           TEXT,
	ended_at             TEXT,
	received_at          TEXT,
	duration_ms          INTEGER,
	billed_duration_ms   INTEGER,
	transcript           TEXT NOT NULL,
	analysis             TEXT,
	extracted            TEXT,
	extensions           TEXT,
	record               TEXT NOT NULL, -- the rest of the call
	stored_at            TEXT NOT NULL,
	PRIMARY KEY (source, call_id, provider) -- in this order it also finds a call by source and id
);
CREATE INDEX calls_seen ON calls (COALESCE(received_at, started_at, ended_at, created_at, stored_at));
CREATE INDEX calls_started_at ON calls (started_at);
CREATE INDEX calls_status ON calls (status);
CREATE INDEX calls_customer_phone ON calls (customer_phone);
CREATE INDEX calls_customer_phone_raw ON calls (customer_phone_raw) WHERE customer_phone_raw IS NOT NULL;

-- +goose Down
DROP TABLE calls;
