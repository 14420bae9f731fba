"""From Arrow lists of embeddings to Arrow lists of nested ones, on a CPU or a GPU; nothing of Spark in here."""
