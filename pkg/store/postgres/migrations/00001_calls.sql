-- +goose Up
CREATE TABLE calls (
	provider             text NOT NULL,
	source               text NOT NULL,
	call_id              text NOT NULL, -- beyond 1024 bytes, or cleaned: its beginning and its SHA-256, the whole id is in record
	event                text NOT NULL CHECK (event IN ('ended', 'progress')),
	key                  text NOT NULL,
	status               text NOT NULL,
	direction            text NOT NULL,
	end_reason           text NOT NULL,
	answered_by          text NOT NULL,
	auth                 text,
	delivery_id          text,
	customer_phone       text, -- E.164 if it is known, else as sent
	customer_phone_raw   text, -- as sent, where that is not the same
	from_phone           text,
	to_phone             text,
	customer_name        text,
	customer_external_id text,
	agent_id             text,
	created_at           timestamptz,
	started_at           timestamptz,
	ended_at             timestamptz,
	received_at          timestamptz,
	duration_ms          bigint,
	billed_duration_ms   bigint,
	transcript           jsonb NOT NULL,
	analysis             jsonb,
	extracted            jsonb,
	extensions           jsonb,
	record               jsonb NOT NULL, -- the rest of the call
	stored_at            timestamptz NOT NULL,
	PRIMARY KEY (source, call_id, provider) -- in this order it also finds a call by source and id
);
CREATE INDEX calls_seen ON calls ((COALESCE(received_at, started_at, ended_at, created_at, stored_at)));
CREATE INDEX calls_started_at ON calls (started_at);
CREATE INDEX calls_status ON calls (status);
CREATE INDEX calls_customer_phone ON calls (customer_phone);
CREATE INDEX calls_customer_phone_raw ON calls (customer_phone_raw) WHERE customer_phone_raw IS NOT NULL;

-- pglz, the default, is the bottleneck of an insert. A server built without lz4 (feature_not_supported), or older than
-- version 14 (syntax_error), keeps it.
-- +goose StatementBegin
DO $$
BEGIN
	EXECUTE 'ALTER TABLE calls
		ALTER COLUMN transcript SET COMPRESSION lz4,
		ALTER COLUMN analysis SET COMPRESSION lz4,
		ALTER COLUMN extracted SET COMPRESSION lz4,
		ALTER COLUMN extensions SET COMPRESSION lz4,
		ALTER COLUMN record SET COMPRESSION lz4';
EXCEPTION
	WHEN feature_not_supported OR syntax_error THEN
		RAISE NOTICE 'the JSON columns of calls are compressed with pglz: this server has no lz4';
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE calls;
