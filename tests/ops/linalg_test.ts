/** Factorisations put together again, and their gradients through functions that no sign of a vector changes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  ArgumentError,
  DTypeError,
  eye,
  linalg,
  manualSeed,
  matmul,
  memory,
  pcaLowrank,
  randn,
  ShapeError,
  svd as oldSvd,
  svdLowrank,
  type Tensor,
  tensor,
} from "@toro/toro";
import { gradcheck } from "../../src/autograd/gradcheck.ts";

memory();

const t = (x: Tensor) => x.transpose(-2, -1);
const double = (shape: number[]) => randn(shape, { dtype: "float64" });

function assertClose(got: Tensor, want: Tensor, atol = 1e-10): void {
  assertEquals(got.shape, want.shape);
  const far = got.sub(want).abs();
  assert(
    far.numel === 0 || far.max().item() <= atol,
    `differs by ${far.numel && far.max().item()}`,
  );
}

Deno.test("svd gives the matrix back, with orthonormal vectors, for any shape and rank", () => {
  manualSeed(1);
  for (const [m, n] of [[1, 1], [4, 4], [7, 3], [3, 7], [9, 9], [0, 3], [3, 0]]) {
    for (const rank of [0, 1, Math.min(m, n)]) {
      const a = matmul(double([3, m, rank]), double([3, rank, n]));
      for (const fullMatrices of [true, false]) {
        const { U, S, Vh } = linalg.svd(a, { fullMatrices });
        const k = Math.min(m, n);
        const back = matmul(U.narrow(-1, 0, k).mul(S.unsqueeze(-2)), Vh.narrow(-2, 0, k));
        assertClose(back, a);
        for (const q of [t(U), Vh]) {
          const side = q.shape[1];
          assertClose(matmul(q, t(q)), eye(side, { dtype: "float64" }).expand([3, side, side]));
        }
        assert(k < 2 || (S.narrow(-1, 0, k - 1).sub(S.narrow(-1, 1, k - 1)).min().item() >= 0));
      }
    }
  }
});

Deno.test("eigh gives the matrix back from the triangle that it reads", () => {
  manualSeed(2);
  const a = double([2, 6, 6]);
  const lower = a.tril().add(t(a.tril(-1))), upper = a.triu().add(t(a.triu(1)));
  for (const [UPLO, want] of [["L", lower], ["U", upper]] as const) {
    const { eigenvalues, eigenvectors } = linalg.eigh(a, { UPLO });
    assertClose(matmul(eigenvectors.mul(eigenvalues.unsqueeze(-2)), t(eigenvectors)), want);
    assertClose(linalg.eigvalsh(a, { UPLO }), eigenvalues);
  }
});

Deno.test("gradients of factorisations are those of differences", () => {
  manualSeed(3);
  const a = double([2, 4, 3]), s = double([2, 3, 3]);
  for (const x of [a, s]) x.requiresGrad = true;
  const symmetric = (x: Tensor) => x.add(t(x));
  const positive = (x: Tensor) => matmul(x, t(x)).add(eye(3, { dtype: "float64" }));
  const checks: [string, (x: Tensor) => Tensor, Tensor][] = [
    ["eigh", (x) => {
      const { eigenvalues, eigenvectors } = linalg.eigh(symmetric(x));
      return matmul(eigenvectors.mul(eigenvalues.exp().unsqueeze(-2)), t(eigenvectors));
    }, s],
    ["svd", (x) => {
      const { U, S, Vh } = linalg.svd(x, { fullMatrices: false });
      return matmul(U.mul(S.exp().unsqueeze(-2)), Vh);
    }, a],
    ["svd of a wide one", (x) => {
      const { U, S, Vh } = linalg.svd(t(x), { fullMatrices: false });
      return matmul(U.mul(S.exp().unsqueeze(-2)), Vh);
    }, a],
    ["torch.svd", (x) => {
      const { U, S, V } = oldSvd(x);
      return matmul(U.mul(S.square().unsqueeze(-2)), t(V));
    }, a],
    ["cholesky", (x) => linalg.cholesky(positive(x)), s],
    ["upper cholesky", (x) => linalg.cholesky(positive(x), { upper: true }), s],
    ["eigvalsh", (x) => linalg.eigvalsh(positive(x)), s],
    ["a determinant that is 0", (x) => linalg.det(matmul(x, t(x))), a],
  ];
  for (const [what, f, x] of checks) {
    try {
      gradcheck(f, [x]);
    } catch (error) {
      throw new Error(`${what}: ${error}`);
    }
  }
});

Deno.test("what has no factorisation is an error that says which", () => {
  const zero = tensor([[[1, 0], [0, 1]], [[1, 2], [2, 4]]]);
  const singular = assertThrows(() => linalg.inv(zero), ArgumentError);
  assertEquals(
    singular.message,
    "Cannot inv matrix number 1 of the batch: it is singular, U's element 2 on the diagonal is 0",
  );
  assertThrows(() => linalg.solve(zero, zero), ArgumentError, "Cannot solve");
  assertThrows(() => linalg.cholesky(tensor([[1, 2], [2, 1]])), ArgumentError, "order 2");
  assertEquals(linalg.choleskyEx(tensor([[1, 2], [2, 1]])).info.item(), 2);
  assertThrows(() => linalg.det(tensor([[1, 2, 3]])), ShapeError, "Cannot det [1, 3]");
  assertThrows(() => linalg.qr(zero.to("bfloat16")), DTypeError, "Cannot qr");
  assertThrows(() => linalg.svd(tensor([[NaN]])), Error, "not finite");
});

Deno.test("low ranks are found whole, tall, wide and in batches", () => {
  manualSeed(1);
  for (const [m, n] of [[30, 8], [8, 30]]) {
    const a = matmul(
      randn([2, m, 3], { dtype: "float64" }),
      randn([2, 3, n], { dtype: "float64" }),
    );
    const { U, S, V } = svdLowrank(a, 5);
    assertEquals([[...U.shape], [...S.shape], [...V.shape]], [[2, m, 5], [2, 5], [2, n, 5]]);
    assert(matmul(U.mul(S.unsqueeze(-2)), V.mT).allclose(a, { atol: 1e-9 }));
    assert(S.narrow(-1, 0, 3).allclose(linalg.svdvals(a).narrow(-1, 0, 3), { rtol: 1e-9 }));
    const rows = a.add(7);
    const { S: spread } = pcaLowrank(rows, 4);
    const centred = linalg.svdvals(rows.sub(rows.mean(-2, { keepdim: true })));
    assert(spread.narrow(-1, 0, 3).allclose(centred.narrow(-1, 0, 3), { rtol: 1e-9 }));
  }
  assertThrows(() => svdLowrank(randn([4, 3]), 4), ArgumentError, "from 0 to 3");
});
