"""Two chains, one ledger: buckets, tenures, openings, probes, backfill."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOVEMENT_KEY = [
    "chain", "block_hash", "tx", "ref", "key", "asset", "kind", "bucket", "wallet_id",
]  # fmt: skip
_BALANCE_KEY = ["chain", "key", "asset", "bucket", "wallet_id"]

# A wallet that was described anew kept its place in the scan: its first row is its tenure.
_TENURES = """
    update wallet w set tenure_id = t.first
    from (select id, min(id) over (partition by chain, key, entity_id, active_from_height) as first
          from wallet) t
    where t.id = w.id and t.first <> w.id
"""
_OF_TENURE = """
    update movement m set wallet_id = w.tenure_id
    from wallet w where w.id = m.wallet_id and w.tenure_id is not null
"""
# A balance was the address's, whoever had watched it; now each tenure has its own.
_BALANCES = """
    insert into balance (
        chain, key, asset, bucket, wallet_id, entity_id, amount, as_of_height, as_of_hash
    )
    select chain, key, asset, bucket, wallet_id, (array_agg(entity_id order by height desc))[1],
           sum(amount), max(height), (array_agg(block_hash order by height desc))[1]
    from movement where canonical group by 1, 2, 3, 4, 5
"""
_DAYS = """
    insert into day_flow (wallet_id, asset, bucket, cause, day, amount)
    select wallet_id, asset, bucket, cause, (time at time zone 'UTC')::date, sum(amount)
    from movement where canonical group by 1, 2, 3, 4, 5
"""


def upgrade() -> None:
    op.create_table(
        "backfill_job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("wallet_ids", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("from_height", sa.Integer(), nullable=False),
        sa.Column("to_height", sa.Integer(), nullable=False),
        sa.Column("next_height", sa.Integer(), nullable=False),
        sa.Column("last_hash", sa.LargeBinary(), nullable=True),
        sa.Column("first_parent", sa.LargeBinary(), nullable=True),
        sa.Column("first_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("movements", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "descriptor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("gap_limit", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["entity_id"],
            ["entity.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "descriptor_open",
        "descriptor",
        ["fingerprint"],
        unique=True,
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_index(op.f("ix_descriptor_entity_id"), "descriptor", ["entity_id"], unique=False)
    op.create_table(
        "day_flow",
        sa.Column("wallet_id", sa.Integer(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(78, 0), nullable=False),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet.id"],
        ),
        sa.PrimaryKeyConstraint("wallet_id", "asset", "bucket", "cause", "day"),
    )
    op.create_table(
        "discrepancy",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("from_height", sa.Integer(), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.Column("wallet_id", sa.Integer(), nullable=False),
        sa.Column("observed", sa.Numeric(78, 0), nullable=False),
        sa.Column("expected", sa.Numeric(78, 0), nullable=False),
        sa.Column("amount", sa.Numeric(78, 0), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("explanation", sa.String(), nullable=True),
        sa.Column("says", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("canonical", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["entity_id"],
            ["entity.id"],
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("discrepancy_entity", "discrepancy", ["entity_id", "id"], unique=False)
    op.create_index(
        "discrepancy_one", "discrepancy", ["wallet_id", "asset", "block_hash"], unique=True
    )
    op.create_index(
        "discrepancy_open",
        "discrepancy",
        ["chain"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "probe",
        sa.Column("wallet_id", sa.Integer(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("observed", sa.Numeric(78, 0), nullable=False),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("probed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet.id"],
        ),
        sa.PrimaryKeyConstraint("wallet_id", "asset"),
    )
    op.create_table(
        "validator",
        sa.Column("pubkey", sa.LargeBinary(), nullable=False),
        sa.Column("wallet_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=True),
        sa.Column("deposited", sa.Numeric(78, 0), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("balance", sa.Numeric(78, 0), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_deposit_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet.id"],
        ),
        sa.PrimaryKeyConstraint("pubkey", "wallet_id"),
    )
    op.create_index("validator_wallet", "validator", ["wallet_id"], unique=False)
    op.add_column(
        "balance", sa.Column("bucket", sa.String(), nullable=False, server_default="liquid")
    )
    op.alter_column("balance", "bucket", server_default=None)
    op.add_column("block", sa.Column("traced", sa.Boolean(), nullable=True))
    op.add_column(
        "cursor", sa.Column("safe_height", sa.Integer(), nullable=False, server_default="-1")
    )
    op.alter_column("cursor", "safe_height", server_default=None)
    op.add_column("cursor", sa.Column("highest", sa.Integer(), nullable=False, server_default="-1"))
    op.alter_column("cursor", "highest", server_default=None)
    op.add_column(
        "movement", sa.Column("bucket", sa.String(), nullable=False, server_default="liquid")
    )
    op.alter_column("movement", "bucket", server_default=None)
    op.add_column(
        "movement", sa.Column("cause", sa.String(), nullable=False, server_default="movement")
    )
    op.alter_column("movement", "cause", server_default=None)
    op.drop_index(op.f("movement_wallet"), table_name="movement")
    op.drop_index("movement_entity", table_name="movement")
    op.create_index("movement_wallet_time", "movement", ["wallet_id", "asset", "time"])
    op.create_index("balance_wallet", "balance", ["wallet_id"])
    op.create_index("movement_wallet", "movement", ["wallet_id", "asset", "height"], unique=False)
    op.create_index(
        "movement_kind",
        "movement",
        ["kind", "asset", "wallet_id"],
        unique=False,
        postgresql_where=sa.text("kind in ('residual', 'stake_deposit', 'opening')"),
    )
    op.add_column("transfer", sa.Column("senders", sa.String(), nullable=True))
    op.create_index(
        "transfer_senders",
        "transfer",
        ["chain", "time"],
        unique=False,
        postgresql_where=sa.text("senders = 'due'"),
    )
    op.add_column("wallet", sa.Column("tenure_id", sa.Integer(), nullable=True))
    op.add_column("wallet", sa.Column("opening_height", sa.Integer(), nullable=True))
    op.add_column("wallet", sa.Column("opening_hash", sa.LargeBinary(), nullable=True))
    op.add_column("wallet", sa.Column("opening_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("wallet", sa.Column("opening_note", sa.String(), nullable=True))
    op.add_column("wallet", sa.Column("history_from", sa.Integer(), nullable=True))
    op.add_column("wallet", sa.Column("descriptor_id", sa.Integer(), nullable=True))
    op.add_column("wallet", sa.Column("branch", sa.Integer(), nullable=True))
    op.add_column("wallet", sa.Column("child_index", sa.Integer(), nullable=True))
    op.create_index(
        "wallet_unopened",
        "wallet",
        ["chain"],
        unique=False,
        postgresql_where=sa.text("closed_at is null and not opening_known"),
    )
    op.create_foreign_key(
        "wallet_descriptor_id_fkey", "wallet", "descriptor", ["descriptor_id"], ["id"]
    )
    op.create_foreign_key("wallet_tenure_id_fkey", "wallet", "wallet", ["tenure_id"], ["id"])
    op.execute(_TENURES)
    op.execute(_OF_TENURE)
    op.drop_constraint("movement_pkey", "movement", type_="primary")
    op.create_primary_key("movement_pkey", "movement", _MOVEMENT_KEY)
    op.drop_constraint("balance_pkey", "balance", type_="primary")
    op.create_primary_key("balance_pkey", "balance", _BALANCE_KEY)
    op.execute("delete from balance")
    op.execute(_BALANCES)
    op.execute(_DAYS)
    op.execute("update cursor set highest = height")


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was made before the upgrade")
