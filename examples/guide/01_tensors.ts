// deno run --allow-ffi=<library> --allow-env=TORO_LIB,HOME examples/guide/01_tensors.ts
//
// Chapter 1, tensors: embeddings of ten million users, and features of ten thousand cards' transactions.
// At its real size it holds a table of 5 GB; --users, --dim, --batch, --days and --features make it smaller.
import { parseArgs } from "@std/cli/parse-args";
import { cat, F, manualSeed, memory, randn, type Tensor, zeros } from "@toro/toro";

/** Vectors (N, D) of normal numbers with deviation 0.1, and biases (N) of zero. */
export function initUserEmbeddings(
  numUsers: number,
  embeddingDim: number,
): [userEmbeddings: Tensor, bias: Tensor] {
  // Scaled in place: beside the table there is never a second one.
  const userEmbeddings = randn([numUsers, embeddingDim]).mul_(0.1);
  const bias = zeros([numUsers]);
  return [userEmbeddings, bias];
}

/** The features of each series: its unit vector, and mean and deviation over time. (B, T, C) → (B, T·C + 2·C). */
export function processFinancialFeatures(transactionData: Tensor): Tensor {
  const [batchSize] = transactionData.shape;
  const flattened = transactionData.view([batchSize, -1]);
  const normalized = F.normalize(flattened, { p: 2, dim: 1 });
  const meanFeatures = transactionData.mean(1);
  const stdFeatures = transactionData.std(1);
  return cat([normalized, meanFeatures, stdFeatures], 1);
}

if (import.meta.main) {
  const { users, dim, batch, days, features, seed } = parseArgs(Deno.args, {
    default: { users: 10_000_000, dim: 128, batch: 10_000, days: 30, features: 50, seed: 0 },
  });
  manualSeed(seed);

  let begin = performance.now();
  const [userEmb, userBias] = initUserEmbeddings(users, dim);
  let ms = performance.now() - begin;
  console.log(
    `user embeddings: [${userEmb.shape.join(", ")}], biases: [${userBias.shape.join(", ")}]`,
  );
  console.log(
    `mean ${userEmb.mean().item().toFixed(5)}, deviation ${userEmb.std().item().toFixed(5)}, ` +
      `biases sum to ${userBias.sum().item()}; made in ${ms.toFixed(0)} ms, ` +
      `${(memory().peakBytes / 1e9).toFixed(2)} GB at most`,
  );

  const sampleData = randn([batch, days, features]);
  begin = performance.now();
  const processedFeatures = processFinancialFeatures(sampleData);
  ms = performance.now() - begin;
  const unit = processedFeatures.narrow(1, 0, days * features).norm(2, 1);
  console.log(
    `features: [${sampleData.shape.join(", ")}] → [${processedFeatures.shape.join(", ")}]`,
  );
  console.log(
    `unit vectors have norms from ${unit.min().item().toFixed(6)} to ${
      unit.max().item().toFixed(6)
    }; made in ${ms.toFixed(1)} ms`,
  );
}
