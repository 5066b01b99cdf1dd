CREATE TABLE @.about (name text PRIMARY KEY, value text NOT NULL);
INSERT INTO @.about (name, value) VALUES ('program', 'hb'), ('id', gen_random_uuid()::text);

CREATE TABLE @.streams (
  stream text COLLATE "C" PRIMARY KEY,
  floor bigint NOT NULL DEFAULT 0 CHECK (floor >= 0));
CREATE TABLE @.records (
  stream text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 0),
  bytes bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, seq));

-- Locks a stream until the transaction ends, and gives its floor. What follows in the same function sees all that was
-- committed before the lock was had: each statement of a volatile function looks anew.
CREATE FUNCTION @.hold(of_stream text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE found_floor bigint;
BEGIN
  SELECT s.floor INTO found_floor FROM @.streams s WHERE s.stream = of_stream FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO @.streams (stream) VALUES (of_stream) ON CONFLICT DO NOTHING;
    SELECT s.floor INTO STRICT found_floor FROM @.streams s WHERE s.stream = of_stream FOR UPDATE;
  END IF;
  RETURN found_floor;
END $$;

CREATE FUNCTION @.append(of_stream text, at_seq bigint, content bytea,
  OUT ended text, OUT standing_floor bigint, OUT standing_head bigint, OUT there bytea) LANGUAGE plpgsql AS $$
BEGIN
  standing_floor := @.hold(of_stream);
  IF at_seq < standing_floor THEN
    ended := 'below';
    RETURN;
  END IF;
  SELECT r.bytes INTO there FROM @.records r WHERE r.stream = of_stream AND r.seq = at_seq;
  IF FOUND THEN
    IF there = content THEN
      ended := 'done';
      there := NULL;
    ELSE
      ended := 'taken';
    END IF;
    RETURN;
  END IF;
  SELECT max(r.seq) INTO standing_head FROM @.records r WHERE r.stream = of_stream;
  IF at_seq <> coalesce(standing_head + 1, standing_floor) THEN
    ended := 'gap';
    RETURN;
  END IF;
  INSERT INTO @.records (stream, seq, bytes) VALUES (of_stream, at_seq, content);
  ended := 'done';
END $$;

CREATE FUNCTION @.trim(of_stream text, new_floor bigint, most bigint, OUT ended text, OUT removed bigint)
LANGUAGE plpgsql AS $$
DECLARE old_floor bigint; newest bigint;
BEGIN
  old_floor := @.hold(of_stream);
  removed := 0;
  IF new_floor > old_floor THEN
    SELECT max(r.seq) INTO newest FROM @.records r WHERE r.stream = of_stream;
    IF newest IS NULL OR new_floor > newest THEN
      ended := 'above';
      RETURN;
    END IF;
    UPDATE @.streams SET floor = new_floor WHERE stream = of_stream;
  END IF;
  DELETE FROM @.records r WHERE r.stream = of_stream AND r.seq IN (
    SELECT o.seq FROM @.records o WHERE o.stream = of_stream AND o.seq < greatest(old_floor, new_floor)
    ORDER BY o.seq LIMIT most);
  GET DIAGNOSTICS removed = ROW_COUNT;
  ended := 'done';
END $$;

-- For copies: a stream goes on with `new_floor` although what lies before it does not stand here.
CREATE FUNCTION @.begin_at(of_stream text, new_floor bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE old_floor bigint; newest bigint;
BEGIN
  old_floor := @.hold(of_stream);
  SELECT max(r.seq) INTO newest FROM @.records r WHERE r.stream = of_stream;
  IF coalesce(newest + 1, old_floor) >= new_floor THEN
    RETURN;
  END IF;
  UPDATE @.streams SET floor = new_floor WHERE stream = of_stream;
  DELETE FROM @.records r WHERE r.stream = of_stream;
END $$;

CREATE TABLE @.blobs (
  hash text COLLATE "C" PRIMARY KEY,
  bytes bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp());

CREATE SEQUENCE @.versions;
-- Rewritten with every renewal of a lease: room in each page lets that happen in place.
CREATE TABLE @.cells (
  name text COLLATE "C" PRIMARY KEY,
  version text NOT NULL,
  bytes bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()) WITH (fillfactor = 50);

-- The counter never gives a number twice on one server. What follows it keeps versions apart where an older copy of the server
-- has been put in its place.
CREATE FUNCTION @.next_version() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT nextval('@.versions')::text || '.' || left(gen_random_uuid()::text, 8)
$$;

-- Who attends to a cell has a lock of its session, and a row here. The row is of one run of the server alone: a start after a crash
-- empties the table, and after any other start the time differs. So where row and run agree and the lock is free, the session
-- ended, and not the server.
CREATE UNLOGGED TABLE @.attending (
  name text COLLATE "C" PRIMARY KEY,
  run timestamptz NOT NULL);

-- Whether somebody attends to a cell, is gone, or nobody does; and the cell's version at the same moment.
CREATE FUNCTION @.sight(cell text, key bigint, OUT seen text, OUT stands text) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT pg_try_advisory_xact_lock_shared(key) THEN
    seen := 'somebody';
    RETURN;
  END IF;
  SELECT CASE WHEN EXISTS (SELECT FROM @.attending a WHERE a.name = cell AND a.run = pg_postmaster_start_time())
    THEN 'gone' ELSE 'nobody' END, (SELECT c.version FROM @.cells c WHERE c.name = cell) INTO seen, stands;
END $$;

-- The same, after waiting at most `most` milliseconds for whoever attends. Failing by a caught error leaves no line in the
-- server's log.
CREATE FUNCTION @.watch(cell text, key bigint, most integer, OUT seen text, OUT stands text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('lock_timeout', most::text, true);
  BEGIN
    PERFORM pg_advisory_xact_lock_shared(key);
  EXCEPTION WHEN lock_not_available THEN
    seen := 'somebody';
    RETURN;
  END;
  SELECT s.seen, s.stands INTO seen, stands FROM @.sight(cell, key) s;
END $$;

CREATE FUNCTION @.attend(cell text, key bigint, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('lock_timeout', most::text, true);
  BEGIN
    PERFORM pg_advisory_lock(key);
  EXCEPTION WHEN lock_not_available THEN
    RETURN false;
  END;
  INSERT INTO @.attending AS a (name, run) VALUES (cell, pg_postmaster_start_time())
    ON CONFLICT (name) DO UPDATE SET run = excluded.run WHERE a.run <> excluded.run;
  RETURN true;
END $$;

-- Whoever changes a cell of which the one that attended is gone, goes on from there: nobody needs to be told any more.
CREATE FUNCTION @.pass_on(cell text, key bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM @.attending a WHERE a.name = cell) AND pg_try_advisory_xact_lock_shared(key) THEN
    DELETE FROM @.attending a WHERE a.name = cell;
  END IF;
END $$;

-- `key` is null where whoever swaps attends itself.
CREATE FUNCTION @.swap(cell text, seen text, key bigint, content bytea, OUT ended text, OUT stands text, OUT holds bytea)
LANGUAGE plpgsql AS $$
BEGIN
  IF seen IS NULL THEN
    INSERT INTO @.cells AS c (name, version, bytes) VALUES (cell, @.next_version(), content)
      ON CONFLICT (name) DO NOTHING RETURNING c.version INTO stands;
  ELSE
    UPDATE @.cells AS c SET version = @.next_version(), bytes = content, at = clock_timestamp()
      WHERE c.name = cell AND c.version = seen RETURNING c.version INTO stands;
  END IF;
  IF FOUND THEN
    ended := 'done';
    IF key IS NOT NULL THEN
      PERFORM @.pass_on(cell, key);
    END IF;
    RETURN;
  END IF;
  ended := 'lost';
  SELECT c.version, c.bytes INTO stands, holds FROM @.cells c WHERE c.name = cell;
END $$;

CREATE FUNCTION @.remove(cell text, seen text, key bigint, OUT ended text, OUT stands text, OUT holds bytea)
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM @.cells c WHERE c.name = cell AND c.version = seen RETURNING c.version INTO stands;
  IF FOUND THEN
    ended := 'done';
    IF key IS NOT NULL THEN
      PERFORM @.pass_on(cell, key);
    END IF;
    RETURN;
  END IF;
  ended := 'lost';
  SELECT c.version, c.bytes INTO stands, holds FROM @.cells c WHERE c.name = cell;
END $$;
