import { useMutation, useQueryClient } from "@tanstack/react-query";

/** A change through the API; afterwards the lists under a key are read again, and `onDone` is called. */
export function useChange<Given, Result>(
  key: readonly string[],
  change: (given: Given) => Promise<Result>,
  onDone: () => void,
) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: key });
      onDone();
    },
  });
}
