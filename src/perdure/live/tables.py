"""The tables of `perdure.db`. Times are seconds since the epoch, UTC."""

FORMAT = 1

TABLES = (
    # What was fixed when the directory was made: the schema's digest, secrets, the generation.
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE classes (label INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    # -- the log ---------------------------------------------------------------------------------
    "CREATE TABLE segments (number INTEGER PRIMARY KEY, used INTEGER NOT NULL) STRICT",
    # `key` is a hash of the id: the same in every log that has the row.
    """CREATE TABLE rows (
        position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        key INTEGER NOT NULL UNIQUE, event_time REAL NOT NULL, received REAL NOT NULL,
        subject TEXT, subject_key INTEGER, source TEXT,
        task INTEGER, part TEXT NOT NULL CHECK (part IN ('train', 'evaluation', 'anchor')),
        segment INTEGER NOT NULL, slot INTEGER NOT NULL, crc INTEGER NOT NULL,
        UNIQUE (segment, slot)) STRICT""",
    "CREATE INDEX rows_of_a_subject ON rows (subject) WHERE subject IS NOT NULL",
    # Bytes of rows that are gone, still to be written over.
    "CREATE TABLE blanks (segment INTEGER NOT NULL, slot INTEGER NOT NULL,"
    " PRIMARY KEY (segment, slot)) STRICT, WITHOUT ROWID",
    """CREATE TRIGGER row_is_gone AFTER DELETE ON rows BEGIN
        INSERT INTO blanks VALUES (old.segment, old.slot); END""",
    # When a subject's rows were first there to be learnt: what it has left its mark on.
    "CREATE TABLE subjects (key INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT",
    # A row becomes an example when its label is known; `seq` is the order in which that happened.
    """CREATE TABLE examples (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        position INTEGER NOT NULL REFERENCES rows ON DELETE CASCADE, label INTEGER NOT NULL,
        revision INTEGER NOT NULL, labelled REAL NOT NULL,
        use TEXT NOT NULL CHECK (use IN ('train', 'evaluate', 'quarantine', 'superseded')),
        UNIQUE (position, revision)) STRICT""",
    """CREATE TRIGGER subject_is_seen AFTER INSERT ON examples WHEN new.use = 'train' BEGIN
        INSERT OR IGNORE INTO subjects SELECT subject_key, new.seq FROM rows
        WHERE position = new.position AND subject_key IS NOT NULL; END""",
    """CREATE TABLE requests (
        key TEXT PRIMARY KEY, digest TEXT NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL)
        STRICT""",
    """CREATE TABLE predictions (
        position INTEGER PRIMARY KEY REFERENCES rows ON DELETE CASCADE, version INTEGER NOT NULL,
        label INTEGER NOT NULL, confidence REAL NOT NULL, at REAL NOT NULL) STRICT""",
    "CREATE TABLE erased (subject_digest TEXT PRIMARY KEY, at REAL NOT NULL, receipt TEXT NOT NULL)"
    " STRICT",
    # -- watching --------------------------------------------------------------------------------
    """CREATE TABLE outcomes (
        seq INTEGER PRIMARY KEY REFERENCES examples ON DELETE CASCADE, version INTEGER NOT NULL,
        predicted INTEGER NOT NULL, label INTEGER NOT NULL, task INTEGER, source TEXT,
        confidence REAL NOT NULL, served INTEGER NOT NULL, at REAL NOT NULL) STRICT""",
    "CREATE TABLE watch (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL,"
    " state TEXT NOT NULL) STRICT",
    """CREATE TABLE drifts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, seq INTEGER NOT NULL,
        detector TEXT NOT NULL, detail TEXT NOT NULL) STRICT""",
    # -- updates and versions --------------------------------------------------------------------
    """CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        reason TEXT NOT NULL, actor TEXT NOT NULL, created REAL NOT NULL, started REAL,
        finished REAL, heartbeat REAL, pid INTEGER, parent INTEGER, after INTEGER, upto INTEGER,
        version INTEGER, erasures INTEGER, progress TEXT NOT NULL DEFAULT '{}', error TEXT)
        STRICT""",
    """CREATE TABLE versions (
        version INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER, job INTEGER,
        after INTEGER NOT NULL, upto INTEGER NOT NULL, created REAL NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('candidate', 'blessed', 'refused', 'undecided', 'removed')),
        tainted REAL, redactions INTEGER NOT NULL DEFAULT 0, digest TEXT NOT NULL,
        bytes INTEGER NOT NULL, note TEXT NOT NULL) STRICT""",
    "CREATE TABLE aliases (name TEXT PRIMARY KEY, version INTEGER NOT NULL REFERENCES versions)"
    " STRICT",
    # Promotion adds to the pile, rollback takes from it: what lies on top, not rolled back, serves.
    # `watch` is what the detectors knew when the version stopped serving.
    "CREATE TABLE served (id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL,"
    " since REAL NOT NULL, until REAL, rolled_back INTEGER NOT NULL DEFAULT 0, watch TEXT) STRICT",
    """CREATE TABLE verdicts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL, champion INTEGER,
        verdict TEXT NOT NULL, at REAL NOT NULL, report TEXT NOT NULL) STRICT""",
    "CREATE TABLE ledger (job INTEGER PRIMARY KEY, version INTEGER NOT NULL, report TEXT NOT NULL)"
    " STRICT",
    # -- held-out rows ---------------------------------------------------------------------------
    "CREATE TABLE spans (span INTEGER PRIMARY KEY, name TEXT NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL) STRICT",
    """CREATE TABLE evaluation (
        key INTEGER PRIMARY KEY, span INTEGER NOT NULL, label INTEGER NOT NULL, task INTEGER,
        source TEXT, subject TEXT, event_time REAL NOT NULL DEFAULT 0, part TEXT NOT NULL,
        x BLOB NOT NULL) STRICT""",
    """CREATE TABLE accuracy (
        version INTEGER NOT NULL, span INTEGER NOT NULL, slice TEXT NOT NULL,
        rows INTEGER NOT NULL, correct INTEGER NOT NULL,
        PRIMARY KEY (version, span, slice)) STRICT, WITHOUT ROWID""",
    # -- people ----------------------------------------------------------------------------------
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL,
        action TEXT NOT NULL, detail TEXT NOT NULL) STRICT""",
    """CREATE TABLE tokens (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, roles TEXT NOT NULL, salt TEXT NOT NULL,
        hash TEXT NOT NULL, created REAL NOT NULL, expires REAL, revoked REAL) STRICT""",
)
