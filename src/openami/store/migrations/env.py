# SPDX-License-Identifier: Apache-2.0
"""What Alembic runs around the steps: they join the transaction that `store.schema` opened."""

from alembic import context

from openami.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True
)
context.run_migrations()
